//! The errors of the repository.

use domain::aggregate::UnreadableEvent;
use event_store::{EventType, InvalidName, Position, StoreError, Unreadable, UpcastingError};

use super::departures::LeaveError;

/// Why the repository could not load an aggregate or make an append.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store returned an error instead of an outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event has a version that this program does not know, or not the shape of its
    /// version.
    #[error(transparent)]
    Unknown(#[from] Unreadable),
    /// An event of a known version does not have its shape.
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        /// The position of the event in the log.
        position: Position,
        /// The error in its payload.
        #[source]
        source: UnreadableEvent,
    },
    /// A stream has an event of a type that its aggregate does not know.
    #[error(
        "the event at position {position} has type {event_type}, which is not one of its stream's"
    )]
    Foreign {
        /// The position of the event in the log.
        position: Position,
        /// The type of the event.
        event_type: EventType,
    },
    /// A new event cannot be written as JSON.
    #[error("a new event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    /// Too many commands wait for their turn on one aggregate, or this one waited too long.
    #[error("too many commands wait for their turn on one aggregate")]
    Crowded,
    /// Users who would be deactivated may not leave.
    #[error(transparent)]
    Leave(#[from] LeaveError),
    /// A stream, type or tag has a name that the store does not accept.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl From<UpcastingError> for RepositoryError {
    fn from(error: UpcastingError) -> Self {
        match error {
            UpcastingError::Store(error) => Self::Store(error),
            UpcastingError::Unreadable(unreadable) => Self::Unknown(unreadable),
        }
    }
}
