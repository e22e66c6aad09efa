//! Why a command fails, and each reason's one problem: the command API's list of problems on a
//! page.

use axum::http::header::{ETAG, HeaderValue};
use domain::order::OrderError;
use domain::product::ProductError;
use domain::user::UserError;
use domain::value::MoneyError;
use event_store::{StoreError, StreamName};
use service_kit::shed::{LINE_EVERY, LogLimit};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use crate::application::repository::RepositoryError;

/// When another try is worth it after a conflict or an overload, in seconds.
const RETRY_SOON: u64 = 1;
/// When another try is worth it after the store was away, in seconds.
const RETRY_LATER: u64 = 2;
/// How many failures of one code are logged in a window.
const MAX_LINES: u32 = 10;

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A user said no.
    #[error(transparent)]
    User(#[from] UserError),
    /// A product said no.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// An order said no.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The body names a user that does not exist.
    #[error("the user at {pointer} does not exist")]
    NoSuchUser {
        /// Where it is named.
        pointer: String,
    },
    /// The body names a product that does not exist.
    #[error("the product at {pointer} does not exist")]
    NoSuchProduct {
        /// Where it is named.
        pointer: String,
    },
    /// A line of the body does not add to the order's total.
    #[error("the line at {pointer} does not add to the total")]
    LineDoesNotAdd {
        /// Where the line is.
        pointer: String,
        /// Why.
        #[source]
        reason: MoneyError,
    },
    /// The body's price cannot be one in the product's currency.
    #[error("the price at {pointer} is not one")]
    Price {
        /// Where the price is.
        pointer: String,
        /// Why.
        #[source]
        reason: MoneyError,
    },
    /// Another user has the e-mail address.
    #[error("another user has the e-mail address")]
    EmailTaken,
    /// The command has a value of a person whose data is erased.
    #[error("the personal data of the person is erased")]
    Erased,
    /// The caller named a version that is not the newest.
    #[error("the aggregate is at version {actual}")]
    StaleVersion {
        /// What it is at.
        actual: i64,
    },
    /// The caller named the newest version as one that it must not be at.
    #[error("the aggregate is at version {actual}, which the caller does not want")]
    UnwantedVersion {
        /// What it is at.
        actual: i64,
    },
    /// The caller requires a version of what does not exist yet.
    #[error("the caller requires a version of what does not exist yet")]
    NothingToMatch,
    /// The aggregate's stream was closed for good.
    #[error("stream {stream} is closed")]
    Closed {
        /// Which.
        stream: StreamName,
    },
    /// Something else happened in between, over and over.
    #[error("the race was lost too often")]
    LostRace,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The first request with this idempotency key has not ended in time.
    #[error("the first request with this idempotency key is still in flight")]
    KeyInFlight,
    /// What was kept of an earlier answer cannot be read.
    #[error("a kept answer cannot be read")]
    StoredAnswer(#[source] serde_json::Error),
    /// An event id made here stands in the log already.
    #[error("event id {id} stands in the log already")]
    DuplicateEvent {
        /// Which.
        id: Uuid,
    },
    /// Too many commands are in flight.
    #[error("too many commands are in flight")]
    Overloaded,
    /// The command's task panicked or was cancelled.
    #[error("the command's task died")]
    Died(#[source] tokio::task::JoinError),
    /// The streams could not be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl CommandError {
    /// Whether the command itself was not to be done, as opposed to our not being able to do it.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::User(_)
            | Self::Product(_)
            | Self::Order(_)
            | Self::NoSuchUser { .. }
            | Self::NoSuchProduct { .. }
            | Self::LineDoesNotAdd { .. }
            | Self::Price { .. }
            | Self::EmailTaken
            | Self::Erased
            | Self::StaleVersion { .. }
            | Self::UnwantedVersion { .. }
            | Self::NothingToMatch
            | Self::Closed { .. }
            | Self::KeyReused
            | Self::KeyInFlight => true,
            Self::LostRace
            | Self::Overloaded
            | Self::Died(_)
            | Self::StoredAnswer(_)
            | Self::DuplicateEvent { .. }
            | Self::Repository(_) => false,
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let problem = match &error {
            CommandError::User(error) => user(*error),
            CommandError::Product(error) => product(*error),
            CommandError::Order(error) => order(*error),
            CommandError::NoSuchUser { pointer } => {
                field(pointer, "user/unknown", "there is no such user")
            }
            CommandError::NoSuchProduct { pointer } => {
                field(pointer, "product/unknown", "there is no such product")
            }
            CommandError::LineDoesNotAdd { pointer, reason }
            | CommandError::Price { pointer, reason } => {
                Self::invalid(vec![money(pointer.clone(), *reason)])
            }
            CommandError::EmailTaken => {
                Self::conflict("user/email-taken", "Another user has this e-mail address")
            }
            CommandError::Erased => {
                Self::conflict("user/erased", "The personal data of this user is erased for good")
            }
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
        if problem.status().is_server_error() && !problem.is_shed() {
            log(&error, &problem);
        }
        problem
    }
}

/// Logs a failure with its causes, at a bounded rate: while the store is away, every command fails.
fn log(error: &CommandError, problem: &Problem) {
    if let Some(unlogged) = LINES.admit(problem.code(), MAX_LINES) {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(error, code = problem.code(), unlogged, "a command failed");
    }
}

fn user(error: UserError) -> Problem {
    match error {
        UserError::Unknown => Problem::not_found(),
        UserError::AlreadyRegistered => {
            Problem::conflict("user/already-registered", "The user is registered already")
        }
        UserError::Deactivated => Problem::conflict("user/deactivated", "The user is deactivated"),
    }
}

fn product(error: ProductError) -> Problem {
    match error {
        ProductError::Unknown => Problem::not_found(),
        ProductError::AlreadyAdded => {
            Problem::conflict("product/already-added", "The product is there already")
        }
        ProductError::NotEnoughStock { .. } => {
            Problem::conflict("product/not-enough-stock", "There is not enough in stock")
                .detail(error.to_string())
        }
        ProductError::StockTooLarge => {
            Problem::conflict("product/stock-too-large", "The stock would be too large")
                .detail(error.to_string())
        }
    }
}

fn order(error: OrderError) -> Problem {
    match error {
        OrderError::Unknown | OrderError::UnknownLine => Problem::not_found(),
        OrderError::AlreadyPlaced => {
            Problem::conflict("order/already-placed", "The order is placed already")
        }
        OrderError::NoLines => {
            field("/lines", "too-few", "an order is placed with at least one line")
        }
        OrderError::TooManyLines => {
            Problem::conflict("order/too-many-lines", "The order has too many lines")
                .detail(error.to_string())
        }
        OrderError::Total { .. } => {
            Problem::conflict("order/total", "The lines do not add up").detail(error.to_string())
        }
        OrderError::NotPending { .. } => {
            Problem::conflict("order/not-pending", "Only a pending order can change")
                .detail(error.to_string())
        }
        OrderError::Empty => {
            Problem::conflict("order/empty", "An order without lines cannot be confirmed")
        }
    }
}

/// What is wrong with an amount of money.
pub fn money(pointer: impl Into<String>, reason: MoneyError) -> FieldError {
    let code = match reason {
        MoneyError::UnknownCurrency => "currency/unknown",
        MoneyError::Withdrawn { .. } => "currency/withdrawn",
        MoneyError::Negative => "money/negative",
        MoneyError::Malformed => "money/malformed",
        MoneyError::TooPrecise { .. } => "money/too-precise",
        MoneyError::TooLarge => "money/too-large",
        MoneyError::Mixed { .. } => "currency/mixed",
    };
    FieldError::new(pointer, code, reason.to_string())
}

fn repository(error: &RepositoryError) -> Problem {
    match error {
        RepositoryError::Store(error) => store(error),
        RepositoryError::Crowded => contention(),
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

fn field(pointer: &str, code: &'static str, detail: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(pointer, code, detail)])
}
