//! Tells of users who were deactivated by an append of this process, before its answer leaves.

use event_store::Append;
use uuid::Uuid;

/// The event after which a user may no longer sign in.
pub const USER_DEACTIVATED: &str = "user.deactivated";

/// Hears of users who were deactivated. It must not wait: an answer waits for it.
pub trait Departures: Send + Sync {
    /// The user was deactivated just now.
    fn departed(&self, user_id: Uuid);
}

/// The users whom an append deactivates, and who hears of it.
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
