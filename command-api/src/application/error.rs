//! The reasons why a command fails, in any representation.

use std::fmt;

use access::Permission;
use event_store::{InvalidName, StoreError, StreamName};
use uuid::Uuid;

use super::input::{FieldPath, InvalidInput, InvalidValue};
use super::repository::{LeaveError, RepositoryError};
use super::use_case::AggregateError;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An aggregate refuses the command.
    #[error(transparent)]
    Refused(AggregateError),
    /// The caller must sign in first.
    #[error("the caller must sign in first")]
    SignIn,
    /// The caller lacks the permission.
    #[error("the caller lacks the permission {0}")]
    Forbidden(Permission),
    /// The resource does not exist for the caller: it is absent, or somebody else's.
    #[error("there is nothing here for the caller")]
    Hidden,
    /// Some of the input is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// There is not enough in stock for some lines of the order.
    #[error("there is not enough in stock: {}", listed(.0))]
    OutOfStock(Vec<ShortLine>),
    /// Another user has the e-mail address.
    #[error("another user has the e-mail address")]
    EmailTaken,
    /// The e-mail address is another one, and the caller may change only their own: that takes a
    /// proof of the new mailbox.
    #[error("another e-mail address takes a proof of its mailbox")]
    EmailNeedsProof,
    /// The command contains a value of a person whose data was erased.
    #[error("the personal data of the person is erased")]
    Erased,
    /// The caller named a version that is not the newest.
    #[error("the aggregate is at version {actual}")]
    StaleVersion {
        /// The current version.
        actual: i64,
    },
    /// The aggregate is at a version that the caller excluded.
    #[error("the aggregate is at version {actual}, which the caller does not want")]
    UnwantedVersion {
        /// The current version.
        actual: i64,
    },
    /// The caller requires a version of a resource that does not exist yet.
    #[error("the caller requires a version of what does not exist yet")]
    NothingToMatch,
    /// The aggregate's stream was closed permanently.
    #[error("stream {stream} is closed")]
    Closed {
        /// The stream's name.
        stream: StreamName,
    },
    /// The command lost the race too often, because something else happened in between each time.
    #[error("the race was lost too often")]
    LostRace,
    /// The commands of a batch change more than one append can hold.
    #[error("the batch is more than one append can hold")]
    TooMuchAtOnce,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The first request with this idempotency key did not finish in time.
    #[error("the first request with this idempotency key is still in flight")]
    KeyInFlight,
    /// The stored answer of an earlier request cannot be read.
    #[error("a kept answer cannot be read")]
    StoredAnswer(#[source] serde_json::Error),
    /// A new event id is already in the log.
    #[error("event id {id} is already in the log")]
    DuplicateEvent {
        /// The event's id.
        id: Uuid,
    },
    /// The operator has not turned this command on.
    #[error("this is turned off")]
    NotOffered,
    /// The event store has not been reached yet.
    #[error("the event store has not been reached yet")]
    NotReady,
    /// Too many commands are in flight.
    #[error("too many commands are in flight")]
    Overloaded,
    /// The command's task panicked or was cancelled.
    #[error("the command's task died")]
    Died(#[source] tokio::task::JoinError),
    /// A stream could not be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// A line of an order for which there is not enough in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortLine {
    /// The index of the line in its order, counted from 0.
    pub index: usize,
    /// The line's id.
    pub line_id: Uuid,
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units of the product that the whole order takes.
    pub wanted: i64,
    /// The number of units that are available.
    pub available: i64,
}

impl fmt::Display for ShortLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line_id, product_id, wanted, available, .. } = self;
        write!(
            f,
            "line {line_id}: {wanted} of product {product_id} are wanted, {available} are available"
        )
    }
}

fn listed(lines: &[ShortLine]) -> String {
    lines.iter().map(ShortLine::to_string).collect::<Vec<_>>().join("; ")
}

impl CommandError {
    /// An error for one invalid field.
    pub fn invalid(at: impl Into<FieldPath>, reason: impl Into<InvalidValue>) -> Self {
        Self::Invalid(InvalidInput::field(at, reason))
    }

    /// Whether the command was refused, as opposed to a failure of the system.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::SignIn
            | Self::Forbidden(_)
            | Self::Hidden
            | Self::Invalid(_)
            | Self::OutOfStock(_)
            | Self::NotOffered
            | Self::EmailTaken
            | Self::EmailNeedsProof
            | Self::Erased
            | Self::StaleVersion { .. }
            | Self::UnwantedVersion { .. }
            | Self::NothingToMatch
            | Self::Closed { .. }
            | Self::TooMuchAtOnce
            | Self::KeyReused
            | Self::KeyInFlight
            | Self::Repository(RepositoryError::Leave(LeaveError::LastAdministrator { .. })) => {
                true
            }
            Self::LostRace
            | Self::NotReady
            | Self::Overloaded
            | Self::Died(_)
            | Self::StoredAnswer(_)
            | Self::DuplicateEvent { .. }
            | Self::Repository(_) => false,
        }
    }
}

/// Converts the refusal of any aggregate.
impl<E> From<E> for CommandError
where
    AggregateError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl From<InvalidName> for CommandError {
    fn from(error: InvalidName) -> Self {
        Self::Repository(error.into())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Repository(error.into())
    }
}
