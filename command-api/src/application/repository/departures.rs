//! Asks whether users may leave before an append deactivates them, and reports the deactivated
//! users after it, before the answer is sent.

use std::any::Any;

use async_trait::async_trait;
use event_store::Append;
use uuid::Uuid;

/// The event after which a user may no longer sign in.
pub const USER_DEACTIVATED: &str = "user.deactivated";
/// The event after which a user may sign in again.
pub const USER_REACTIVATED: &str = "user.reactivated";

/// The leave of users. Until it is dropped, nothing changes that would forbid the leave.
pub type Leave = Box<dyn Any + Send>;

/// Why users may not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// No administrator who may sign in would be left.
    #[error("user {user_id} is the last administrator")]
    LastAdministrator {
        /// One of the users.
        user_id: Uuid,
    },
    /// The administrators are not known, because the database does not answer.
    #[error("the database of credentials cannot be asked")]
    CredentialsAway,
}

/// Says whether users may leave, and is told which ones were deactivated.
#[async_trait]
pub trait Departures: Send + Sync {
    /// Lets users leave together. Drop the [`Leave`] when they have left.
    ///
    /// # Errors
    /// [`LeaveError`].
    async fn let_leave(&self, users: &[Uuid]) -> Result<Leave, LeaveError>;

    /// The user was deactivated just now. It must not wait: an answer waits for it.
    fn departed(&self, user_id: Uuid);
}

/// The users whom an append deactivates.
pub(super) fn leaving(append: &Append) -> Vec<Uuid> {
    let streams = append.streams.iter().filter(|streams| {
        streams.events.iter().any(|event| event.event_type.as_str() == USER_DEACTIVATED)
    });
    streams.filter_map(|streams| streams.stream.id().parse().ok()).collect()
}
