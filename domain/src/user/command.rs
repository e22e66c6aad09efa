//! The commands of the user aggregate.

use uuid::Uuid;

use crate::value::{Email, PersonName};

/// A command to a user.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Registers the user.
    Register {
        /// The user's id.
        user_id: Uuid,
        /// The e-mail address.
        email: Email,
        /// The person's name.
        name: PersonName,
    },
    /// Renames the user. The same name changes nothing.
    Rename {
        /// The new name.
        name: PersonName,
    },
    /// Changes the e-mail address. The same address changes nothing.
    ChangeEmail {
        /// The new address.
        email: Email,
    },
    /// Deactivates the user permanently. Pending orders can still be confirmed or cancelled.
    Deactivate,
}
