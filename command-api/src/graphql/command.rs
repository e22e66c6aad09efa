//! Runs the command of one mutation.

use async_graphql::{Context, Error, ErrorExtensions as _, ID};
use chrono::{DateTime, Utc};
use event_store::{NewEvent, StreamName};
use service_kit::input::{Id, Time};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::Origin;
use crate::application::idempotency::{IdempotencyKey, KeyedRequest, Part};
use crate::application::precondition::{Precondition, Versions};
use crate::application::{CommandError, Done, Input};
use crate::http::Api;

/// The arguments that are about a command as a whole. They are not part of what an idempotency key
/// is bound to.
const ABOUT: [&str; 3] = ["expectedVersion", "idempotencyKey", "dryRun"];

/// The mutations whose name differs from that of their operation, each with its `operationId`.
const OPERATIONS: [(&str, &str); 4] = [
    ("createUser", "registerUser"),
    ("updateUser", "changeUser"),
    ("deleteUser", "deactivateUser"),
    ("updateProduct", "changeProduct"),
];

/// The `operationId` of the operation that runs the same command as a mutation.
pub(super) fn operation(mutation: &str) -> &str {
    OPERATIONS.iter().find(|(name, _)| *name == mutation).map_or(mutation, |(_, id)| id)
}

/// The value of a mutation: a payload, or null with an error, for what is not up to the user. The
/// values of the other mutations of the request stay.
pub(super) type Answer<P> = Option<Result<P, Error>>;

/// The arguments that every mutation has.
#[derive(Default)]
pub(super) struct Options {
    /// The version that the resource must have.
    pub(super) expected_version: Option<i64>,
    /// The key that recognises a repeat.
    pub(super) idempotency_key: Option<String>,
    /// Whether the command is only decided.
    pub(super) dry_run: bool,
}

/// How a command ended, as far as a user has to know.
pub(super) enum Outcome {
    /// It was carried out.
    Done {
        /// Its result.
        done: Done,
        /// The token for the query API.
        consistency_token: String,
    },
    /// It was a dry run.
    DryRun {
        /// The events that would be appended, each with its stream.
        events: Vec<(StreamName, NewEvent)>,
        /// Why it would be refused.
        refusal: Option<Problem>,
    },
    /// It was refused for a reason that the user can mend.
    Refused(Problem),
    /// Ids or times among the arguments cannot be read. The pointers begin at the arguments.
    InvalidArguments(Vec<FieldError>),
}

impl Outcome {
    /// The id of the changed resource.
    pub(super) const fn id(&self) -> Option<Uuid> {
        match self {
            Self::Done { done, .. } => Some(done.answer.id),
            Self::DryRun { .. } | Self::Refused(_) | Self::InvalidArguments(_) => None,
        }
    }

    /// The id of the line that was added.
    pub(super) fn line_id(&self) -> Option<Uuid> {
        self.part().and_then(Part::line)
    }

    /// The id of the address that was added.
    pub(super) fn address_id(&self) -> Option<Uuid> {
        self.part().and_then(Part::address)
    }

    const fn part(&self) -> Option<Part> {
        match self {
            Self::Done { done, .. } => done.answer.part,
            Self::DryRun { .. } | Self::Refused(_) | Self::InvalidArguments(_) => None,
        }
    }
}

/// Runs a command on the resource with this id. `argument` is the JSON pointer of the id.
pub(super) async fn run_on<P: From<Outcome>, I: Input>(
    ctx: &Context<'_>,
    (argument, id): (&str, &ID),
    input: impl FnOnce(Uuid) -> I,
    options: Options,
) -> Answer<P> {
    let mut given = Arguments::default();
    let input = input(given.read(argument, id));
    given.run(ctx, input, options).await
}

/// Reads the ids and times among the arguments of a mutation, and collects what is wrong with
/// them.
#[derive(Default)]
pub(super) struct Arguments(Vec<FieldError>);

impl Arguments {
    /// Reads an id. `at` is its JSON pointer among the arguments, in snake case.
    pub(super) fn read(&mut self, at: impl Into<String>, id: &ID) -> Uuid {
        match id.parse::<Id>() {
            Ok(id) => id.get(),
            Err(error) => {
                self.0.push(FieldError::new(at, "invalid", error.to_string()));
                Uuid::nil()
            }
        }
    }

    /// Reads the id that the caller gives to what is created, if there is one.
    pub(super) fn read_new(&mut self, id: Option<&ID>) -> Option<Uuid> {
        id.map(|id| self.read("/input/id", id))
    }

    /// Reads a time that may be absent. `at` is its JSON pointer among the arguments, in snake
    /// case.
    pub(super) fn read_time(
        &mut self,
        at: impl Into<String>,
        time: Option<&str>,
    ) -> Option<DateTime<Utc>> {
        match time?.parse::<Time>() {
            Ok(time) => Some(time.get()),
            Err(error) => {
                self.0.push(FieldError::new(at, "invalid", error.to_string()));
                None
            }
        }
    }

    /// What is wrong with them.
    pub(super) fn wrong(self) -> Vec<FieldError> {
        self.0
    }

    /// Runs the command if all could be read.
    pub(super) async fn run<P: From<Outcome>>(
        self,
        ctx: &Context<'_>,
        input: impl Input,
        options: Options,
    ) -> Answer<P> {
        Some(self.counted(ctx, input, options).await)
    }

    async fn counted<P: From<Outcome>>(
        self,
        ctx: &Context<'_>,
        input: impl Input,
        options: Options,
    ) -> Result<P, Error> {
        count(ctx)?;
        if self.0.is_empty() {
            return run(ctx, input, options).await;
        }
        Ok(Outcome::InvalidArguments(self.0).into())
    }
}

/// Counts a mutation as a request of its operation.
///
/// # Errors
/// The caller has sent too many.
pub(super) fn count(ctx: &Context<'_>) -> Result<(), Error> {
    let api = ctx.data::<Api>()?;
    let limits = api.rates.named(operation(ctx.field().name()));
    match limits.count(ctx.data::<Origin>()?.rate_key) {
        Ok(_) => Ok(()),
        Err(problem) => {
            service_kit::shed::count(problem.code());
            Err(failure(ctx, problem)?)
        }
    }
}

/// Runs a command and makes the payload.
///
/// # Errors
/// What is not up to the user.
async fn run<P: From<Outcome>>(
    ctx: &Context<'_>,
    input: impl Input,
    options: Options,
) -> Result<P, Error> {
    let api = ctx.data::<Api>()?;
    let context = match context(ctx, &options)? {
        Ok(context) => context,
        Err(problem) => return Ok(Outcome::Refused(problem).into()),
    };
    let outcome = if options.dry_run {
        let found = api.application.dry_run(input, context).await;
        found.map(|found| Outcome::DryRun {
            events: found.events,
            refusal: found.refusal.map(Problem::from),
        })
    } else {
        api.application
            .run(input, context)
            .await
            .map(|done| Outcome::Done { consistency_token: api.token(&done.appended), done })
    };
    match outcome {
        Ok(outcome) => Ok(outcome.into()),
        // Another input would not help a caller without the permission.
        Err(error @ (CommandError::SignIn | CommandError::Forbidden(_))) => {
            Err(failure(ctx, error)?)
        }
        Err(error) if error.is_refusal() => Ok(Outcome::Refused(error.into()).into()),
        Err(error) => Err(failure(ctx, error)?),
    }
}

/// The context of the command, or why the user's arguments do not allow one.
fn context(
    ctx: &Context<'_>,
    options: &Options,
) -> Result<Result<crate::application::Context, Problem>, Error> {
    let origin = ctx.data::<Origin>()?;
    let one_of = options.expected_version.map(|version| Versions::These(vec![version]));
    let keyed = match &options.idempotency_key {
        None => None,
        Some(key) => match IdempotencyKey::new(key) {
            Ok(key) => Some(KeyedRequest::new(key, &[b"graphql", arguments(ctx)?.as_bytes()])),
            Err(error) => {
                let problem = Problem::bad_request(
                    "idempotency/malformed-key",
                    "The idempotency key cannot be read",
                );
                return Ok(Err(problem.detail(error.to_string())));
            }
        },
    };
    let context = crate::application::Context {
        traceparent: origin.traceparent.clone(),
        precondition: Precondition { one_of, none_of: None },
        keyed,
        ..crate::application::Context::new(origin.caller.clone())
    };
    // A request id that is a UUID is the id of the flow.
    Ok(Ok(match origin.request_id.parse::<Id>() {
        Ok(flow) => context.in_flow(flow.get()),
        Err(_) => context,
    }))
}

/// The name of the mutation and its arguments in a fixed form, with the variables' values.
fn arguments(ctx: &Context<'_>) -> Result<String, Error> {
    let field = ctx.field();
    let mut arguments = field.arguments()?;
    arguments.retain(|(name, _)| !ABOUT.contains(&name.as_str()));
    arguments.sort_by(|(a, _), (b, _)| a.cmp(b));
    let arguments: Vec<_> =
        arguments.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    Ok(format!("{}({})", field.name(), arguments.join(",")))
}

/// The error of a field whose command failed for a reason that is not up to the user.
pub(super) fn failure(ctx: &Context<'_>, why: impl Into<Problem>) -> Result<Error, Error> {
    let request_id = ctx.data::<Origin>()?.request_id.clone();
    let problem = why.into();
    Ok(Error::new(problem.title()).extend_with(|_, extensions| {
        extensions.set("code", problem.code());
        extensions.set("status", i32::from(problem.status().as_u16()));
        extensions.set("requestId", request_id);
        if let Some(seconds) = problem.retry_after_seconds() {
            extensions.set("retryAfter", seconds);
        }
    }))
}
