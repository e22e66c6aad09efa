//! The problem for each reason why a command fails. This is the complete list of problems of the
//! command API.

use axum::http::header::{ETAG, HeaderValue};
use domain::pricing::PricingRuleError;
use domain::value::{
    DestinationError, EmailError, LanguageError, MoneyError, NameError, ReasonError,
};
use event_store::StoreError;
use service_kit::shed::{LINE_EVERY, LogLimit};
use service_kit::{FieldError, Problem};

use crate::application::CommandError;
use crate::application::input::{FieldPath, InvalidInput, InvalidValue, Step};
use crate::application::repository::{LeaveError, RepositoryError};

mod refusal;

/// The value of `Retry-After` after a conflict or an overload, in seconds.
const RETRY_SOON: u64 = 1;
/// The value of `Retry-After` after the store was away, in seconds.
const RETRY_LATER: u64 = 2;
/// The maximum number of log lines for failures with one code in a window of [`LINE_EVERY`].
const MAX_LINES: u32 = 10;

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let problem = match &error {
            CommandError::Refused(error) => refusal::refused(*error),
            CommandError::OutOfStock(lines) => refusal::out_of_stock(lines),
            CommandError::SignIn => identity::problem::sign_in(),
            CommandError::Forbidden(permission) => identity::problem::forbidden(*permission),
            CommandError::Invalid(input) => invalid(input),
            CommandError::NotOffered | CommandError::Hidden => Self::not_found(),
            CommandError::NotReady => Self::unavailable(
                "store/unavailable",
                "The event store has not been reached yet; nothing was changed",
                RETRY_LATER,
            ),
            CommandError::EmailTaken => {
                Self::conflict("user/email-taken", "Another user has this e-mail address")
            }
            CommandError::EmailNeedsProof => refusal::email_needs_proof(),
            CommandError::Erased => erased(),
            CommandError::StaleVersion { actual } => at_version(Self::stale_version(), *actual),
            CommandError::UnwantedVersion { actual } => {
                at_version(Self::precondition_failed(), *actual)
            }
            CommandError::NothingToMatch => Self::precondition_failed()
                .detail("If-Match names a version, and what this request makes has none yet"),
            CommandError::Closed { stream } => {
                Self::conflict("aggregate/closed", "It was closed for good and takes no change")
                    .detail(format!("{stream} is closed"))
            }
            CommandError::LostRace => contention(),
            CommandError::TooMuchAtOnce => Self::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "command/too-much-at-once",
                "These commands change too much for one step; send them in smaller batches",
            ),
            CommandError::KeyReused => Self::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency/key-reused",
                "The idempotency key was used for another request",
            ),
            CommandError::KeyInFlight => Self::conflict(
                "idempotency/in-flight",
                "The first request with this idempotency key has not ended yet",
            )
            .retry_after(RETRY_SOON),
            CommandError::Overloaded => {
                Self::shed("overloaded", "Too many commands at once; try again", RETRY_SOON)
            }
            CommandError::Repository(error) => repository(error),
            CommandError::StoredAnswer(_)
            | CommandError::DuplicateEvent { .. }
            | CommandError::Died(_) => Self::internal(),
        };
        // A process that is starting already reports what it waits for.
        let is_expected = problem.is_shed() || matches!(error, CommandError::NotReady);
        if problem.status().is_server_error() && !is_expected {
            log(&error, &problem);
        }
        problem
    }
}

/// Logs a failure with its causes. The rate is limited, because every command fails while the store
/// is away.
fn log(error: &CommandError, problem: &Problem) {
    if let Some(unlogged) = LINES.admit(problem.code(), MAX_LINES) {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(error, code = problem.code(), unlogged, "a command failed");
    }
}

fn erased() -> Problem {
    Problem::conflict("user/erased", "The personal data of this user is erased for good")
}

/// One problem for everything that is wrong with the input, with a pointer to each field.
fn invalid(input: &InvalidInput) -> Problem {
    let fields = input.fields().iter().map(|field| {
        FieldError::new(pointer(&field.at), code(&field.reason), field.reason.to_string())
    });
    Problem::invalid(fields.collect())
}

/// The JSON pointer to a field. No field name has a character that needs escaping.
fn pointer(path: &FieldPath) -> String {
    let mut pointer = String::new();
    for step in path.steps() {
        pointer.push('/');
        match step {
            Step::Name(name) => pointer.push_str(name),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    pointer
}

const fn code(reason: &InvalidValue) -> &'static str {
    match reason {
        InvalidValue::Email(EmailError::TooLong) => "email/too-long",
        InvalidValue::Email(EmailError::Malformed) => "email/malformed",
        InvalidValue::Name(NameError::Empty) => "name/empty",
        InvalidValue::Name(NameError::TooLong) => "name/too-long",
        InvalidValue::Name(NameError::ControlCharacter) => "name/control-character",
        InvalidValue::Name(NameError::DirectionOverride) => "name/direction-override",
        InvalidValue::Money(MoneyError::UnknownCurrency) => "currency/unknown",
        InvalidValue::Money(MoneyError::Withdrawn { .. }) => "currency/withdrawn",
        InvalidValue::Money(MoneyError::Negative) => "money/negative",
        InvalidValue::Money(MoneyError::Malformed) => "money/malformed",
        InvalidValue::Money(MoneyError::TooPrecise { .. }) => "money/too-precise",
        InvalidValue::Money(MoneyError::TooLarge) => "money/too-large",
        InvalidValue::Money(MoneyError::Mixed { .. }) => "currency/mixed",
        InvalidValue::Language(LanguageError::MalformedLanguage) => "language/malformed",
        InvalidValue::Language(LanguageError::MalformedLocale) => "locale/malformed",
        InvalidValue::Phone(_) => "phone/malformed",
        InvalidValue::PostalCode(_) => "postal-code/malformed",
        InvalidValue::Destination(DestinationError::UnknownCountry) => "country/unknown",
        InvalidValue::Destination(DestinationError::MalformedRegion) => "region/malformed",
        InvalidValue::CustomerType(_) => "customer-type/unknown",
        InvalidValue::Rate(_) => "rate/out-of-range",
        InvalidValue::RateClass(_) => "rate-class/unknown",
        InvalidValue::TaxMode(_) => "tax-mode/unknown",
        InvalidValue::TooManyLines
        | InvalidValue::PricingRule(
            PricingRuleError::TooManyDiscounts | PricingRuleError::TooManyTaxRates,
        ) => "too-many",
        InvalidValue::PricingRule(PricingRuleError::RepeatedDiscount) => "discount/repeated",
        InvalidValue::PricingRule(PricingRuleError::RepeatedTax) => "tax/repeated",
        InvalidValue::PricingRule(PricingRuleError::EmptyPeriod) => "period/empty",
        InvalidValue::RateOrAmount => "discount/rate-or-amount",
        InvalidValue::Stock => "stock/out-of-range",
        InvalidValue::Quantity(_) | InvalidValue::Units => "quantity/out-of-range",
        InvalidValue::SameProduct => "product/same",
        InvalidValue::Reason(ReasonError::Empty) => "reason/empty",
        InvalidValue::Reason(ReasonError::TooLong) => "reason/too-long",
        InvalidValue::Reason(ReasonError::ControlCharacter) => "reason/control-character",
        InvalidValue::Evidence(_) => "evidence/malformed",
        InvalidValue::NoLines => "too-few",
        InvalidValue::FutureOrder => "in-the-future",
        InvalidValue::OrderTooEarly => "too-early",
        InvalidValue::NothingToChange { .. } => "nothing-to-change",
        InvalidValue::PriceMissing => "missing",
        InvalidValue::NotVersion7 => "id/not-version-7",
        InvalidValue::UnknownUser => "user/unknown",
        InvalidValue::UnknownProduct => "product/unknown",
    }
}

impl From<LeaveError> for Problem {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::LastAdministrator { .. } => super::auth::last_administrator(),
            LeaveError::CredentialsAway => super::auth::unavailable(),
        }
    }
}

fn repository(error: &RepositoryError) -> Problem {
    match error {
        RepositoryError::Store(error) => store(error),
        RepositoryError::Crowded => contention(),
        RepositoryError::Leave(error) => (*error).into(),
        RepositoryError::Unknown(_)
        | RepositoryError::Unreadable { .. }
        | RepositoryError::Foreign { .. }
        | RepositoryError::Encode(_)
        | RepositoryError::Name(_) => Problem::internal(),
    }
}

fn store(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::OtherHistory(_) | StoreError::Unsafe(_) => {
            Problem::unavailable(
                "store/unavailable",
                "The event store is not available; nothing was changed",
                RETRY_LATER,
            )
        }
        StoreError::OutcomeUnknown(_) => Problem::unavailable(
            "store/outcome-unknown",
            "Whether the change was made is not known; try again with the same Idempotency-Key",
            RETRY_LATER,
        ),
        StoreError::Keys(error) if error.is_transient() => Problem::unavailable(
            "keys/unavailable",
            "The keys of personal data are not available; nothing was changed",
            RETRY_LATER,
        ),
        StoreError::Invalid(_)
        | StoreError::Unusable(_)
        | StoreError::Keys(_)
        | StoreError::Database(_) => Problem::internal(),
    }
}

fn contention() -> Problem {
    Problem::unavailable("contention", "Others keep changing the same thing; try again", RETRY_SOON)
}

fn at_version(problem: Problem, actual: i64) -> Problem {
    let problem = problem.detail(format!("it is at version {actual}"));
    match HeaderValue::try_from(format!("\"{actual}\"")) {
        Ok(tag) => problem.header(ETAG, tag),
        Err(_) => problem,
    }
}
