//! What a mutation answers: what changed, or the errors that a user can mend.

use async_graphql::{ID, Json, SimpleObject};
use serde_json::Value;
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::command::Outcome;
use super::entity::{Entity, Order, Product, User};

/// The argument that holds the fields of a command.
const INPUT: &str = "input";

/// An error that a user can mend.
#[derive(SimpleObject)]
pub(super) struct UserError {
    /// The stable code, such as `user/email-taken`: the same as in the problems of the REST API.
    code: String,
    /// An explanation in English.
    message: String,
    /// The path of the argument or input field that is wrong, from the mutation's arguments.
    field: Option<Vec<String>>,
}

/// What a dry run found out.
#[derive(SimpleObject)]
pub(super) struct DryRun {
    /// The events that would be appended, in their order.
    events: Vec<DryRunEvent>,
}

/// An event that would be appended.
#[derive(SimpleObject)]
struct DryRunEvent {
    /// The stream that it would be appended to.
    stream: String,
    /// The type of the event.
    r#type: String,
    /// The version of the shape of its data.
    schema_version: i32,
    /// The data.
    data: Json<Value>,
}

/// What all payloads have.
#[derive(SimpleObject, Default)]
struct Common {
    /// The version of the resource after the command. Name it as `expectedVersion` of the next one.
    version: Option<i64>,
    /// Hand it to the query API, which then answers only when it shows this change.
    consistency_token: Option<String>,
    /// Whether this is the answer to an earlier request with the same idempotency key.
    replayed: bool,
    /// What would happen, if this was a dry run.
    dry_run: Option<DryRun>,
    /// The errors that a user can mend. The command was carried out if there is none.
    errors: Vec<UserError>,
}

macro_rules! payloads {
    ($($(#[doc = $doc:literal])+ $name:ident {
        $field:ident: $of:ident, $($more:ident: $what:literal)?
    })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(SimpleObject)]
            pub(super) struct $name {
                /// The resource, unless the command was refused or was a dry run.
                $field: Option<$of>,
                $(
                    #[doc = $what]
                    $more: Option<ID>,
                )?
                #[graphql(flatten)]
                common: Common,
            }

            impl From<Outcome> for $name {
                fn from(outcome: Outcome) -> Self {
                    $(let $more = outcome.$more().map(ID::from);)?
                    let $field = outcome.id().map($of::of);
                    Self { $field, $($more,)? common: outcome.into() }
                }
            }
        )+
    };
}

payloads! {
    /// The answer to a mutation of a user.
    UserPayload { user: User, address_id: "The id of the address that was added." }
    /// The answer to a mutation of a product.
    ProductPayload { product: Product, }
    /// The answer to a mutation of an order.
    OrderPayload { order: Order, line_id: "The id of the line that was added." }
}

/// The answer to a mutation of the shop's discounts or taxes.
#[derive(SimpleObject)]
pub(super) struct PricingPayload {
    #[graphql(flatten)]
    common: Common,
}

impl From<Outcome> for PricingPayload {
    fn from(outcome: Outcome) -> Self {
        Self { common: outcome.into() }
    }
}

/// The answer to a mutation of a user's roles, sessions or API keys.
#[derive(SimpleObject)]
pub(super) struct AccessPayload {
    /// The user, unless the change was refused.
    user: Option<User>,
    /// The errors that a user can mend. The change was carried out if there is none.
    errors: Vec<UserError>,
}

impl AccessPayload {
    /// The change was carried out.
    pub(super) fn changed(user: Uuid) -> Self {
        Self { user: Some(User::of(user)), errors: Vec::new() }
    }

    /// The change was refused.
    pub(super) fn refused(problem: &Problem) -> Self {
        Self { user: None, errors: user_errors(problem) }
    }

    /// Ids or times among the arguments could not be read.
    pub(super) fn invalid(errors: &[FieldError]) -> Self {
        let errors = errors.iter().map(|error| of_field(error, None)).collect();
        Self { user: None, errors }
    }
}

impl From<Outcome> for Common {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { done, consistency_token } => Self {
                version: Some(done.version()),
                consistency_token: Some(consistency_token),
                replayed: done.replayed,
                ..Self::default()
            },
            Outcome::DryRun { events, refusal } => {
                let events = events
                    .into_iter()
                    .map(|(stream, event)| DryRunEvent {
                        stream: stream.to_string(),
                        r#type: event.event_type.to_string(),
                        schema_version: event.schema_version,
                        data: Json(serde_json::from_str(event.data.get()).unwrap_or_default()),
                    })
                    .collect();
                let errors = refusal.map(|problem| user_errors(&problem)).unwrap_or_default();
                Self { dry_run: Some(DryRun { events }), errors, ..Self::default() }
            }
            Outcome::Refused(problem) => Self { errors: user_errors(&problem), ..Self::default() },
            Outcome::InvalidArguments(errors) => {
                let errors = errors.iter().map(|error| of_field(error, None)).collect();
                Self { errors, ..Self::default() }
            }
        }
    }
}

/// The errors of a problem: one for each wrong field, or one for the whole.
fn user_errors(problem: &Problem) -> Vec<UserError> {
    if problem.errors().is_empty() {
        let message = match problem.explanation() {
            Some(detail) => format!("{}: {detail}", problem.title()),
            None => problem.title().to_owned(),
        };
        return vec![UserError { code: problem.code().to_owned(), message, field: None }];
    }
    problem.errors().iter().map(|error| of_field(error, Some(INPUT))).collect()
}

fn of_field(error: &FieldError, argument: Option<&str>) -> UserError {
    UserError {
        code: error.code.to_string(),
        message: error.detail.clone(),
        field: Some(path(argument, &error.pointer)),
    }
}

/// The path of a field in an argument, or among the arguments of a mutation. The application names
/// fields in snake case, GraphQL in camel case.
fn path(argument: Option<&str>, pointer: &str) -> Vec<String> {
    let steps = pointer.split('/').skip(1).map(camel_case);
    argument.map(str::to_owned).into_iter().chain(steps).collect()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_becomes_the_path_of_an_argument() {
        assert_eq!(path(Some("input"), ""), ["input"]);
        assert_eq!(path(Some("input"), "/unit_price"), ["input", "unitPrice"]);
        assert_eq!(
            path(Some("input"), "/lines/3/product_id"),
            ["input", "lines", "3", "productId"]
        );
        assert_eq!(path(None, "/order_id"), ["orderId"]);
    }
}
