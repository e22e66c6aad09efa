//! What a user can be asked.

use uuid::Uuid;

use crate::value::{Email, PersonName};

/// What a user can be asked.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Become a user.
    Register {
        /// The user's id.
        user_id: Uuid,
        /// The address.
        email: Email,
        /// The name.
        name: PersonName,
    },
    /// Take another name; the same name changes nothing.
    Rename {
        /// The new name.
        name: PersonName,
    },
    /// Take another address; the same address changes nothing.
    ChangeEmail {
        /// The new address.
        email: Email,
    },
    /// Stop being a customer, for good. Orders that are pending can still be confirmed or
    /// cancelled.
    Deactivate,
}
