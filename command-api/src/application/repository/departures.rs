//! Asks whether a user may leave, and tells of users who were deactivated by an append of this
//! process, before its answer leaves.

use async_trait::async_trait;
use event_store::Append;
use uuid::Uuid;

use crate::application::error::CommandError;

/// The event after which a user may no longer sign in.
pub const USER_DEACTIVATED: &str = "user.deactivated";

/// Says which users may leave, and is told which ones were deactivated.
#[async_trait]
pub trait Departures: Send + Sync {
    /// Whether nobody could administrate any more if the user left.
    ///
    /// # Errors
    /// [`CommandError::CredentialsAway`] if it cannot be found out.
    async fn is_last_administrator(&self, user_id: Uuid) -> Result<bool, CommandError>;

    /// The user was deactivated just now. It must not wait: an answer waits for it.
    fn departed(&self, user_id: Uuid);
}

/// The users whom an append deactivates, and the port that is told.
pub(super) struct Deactivated<'a> {
    to: Option<&'a dyn Departures>,
    users: Vec<Uuid>,
}

/// Finds the users whom an append deactivates.
pub(super) fn deactivated<'a>(to: Option<&'a dyn Departures>, append: &Append) -> Deactivated<'a> {
    let streams = append.streams.iter().filter(|streams| {
        streams.events.iter().any(|event| event.event_type.as_str() == USER_DEACTIVATED)
    });
    let users = if to.is_some() {
        streams.filter_map(|streams| streams.stream.id().parse().ok()).collect()
    } else {
        Vec::new()
    };
    Deactivated { to, users }
}

impl Deactivated<'_> {
    /// Tells of them.
    pub(super) fn tell(self) {
        if let Some(to) = self.to {
            self.users.into_iter().for_each(|user| to.departed(user));
        }
    }
}
