//! The user aggregate: a person who may order.
//!
//! An e-mail address belongs to one user at a time. That rule covers all users, so the store
//! enforces it with a uniqueness reservation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::personal::Personal;
use crate::value::{Email, PersonName};

pub mod command;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::UserCommand;
pub use error::UserError;
pub use event::UserEvent;

use event::{UserDeactivated, UserEmailChanged, UserRegistered, UserRenamed};

/// The state of a user. The default is a user who never registered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct User {
    registered: Option<Registered>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Registered {
    user_id: Uuid,
    email: Personal<Email>,
    name: Personal<PersonName>,
    active: bool,
}

/// A user who may order. Only [`User::customer`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    user_id: Uuid,
}

impl Customer {
    /// The user's id.
    pub const fn user_id(self) -> Uuid {
        self.user_id
    }
}

impl User {
    /// The e-mail address, or `None` if the user does not exist or the address was erased.
    pub fn email(&self) -> Option<&Email> {
        self.registered.as_ref().and_then(|user| user.email.value())
    }

    /// The user as a customer who may order.
    ///
    /// # Errors
    /// [`UserError::Unknown`] if the user never registered, [`UserError::Deactivated`] if the user
    /// is deactivated.
    pub fn customer(&self) -> Result<Customer, UserError> {
        self.active().map(|user| Customer { user_id: user.user_id })
    }

    fn active(&self) -> Result<&Registered, UserError> {
        let user = self.registered.as_ref().ok_or(UserError::Unknown)?;
        if user.active { Ok(user) } else { Err(UserError::Deactivated) }
    }
}

impl Aggregate for User {
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(1));

    fn heap_bytes(&self) -> usize {
        let bytes = |user: &Registered| {
            let email = user.email.value().map_or(0, |email| email.as_str().len());
            email + user.name.value().map_or(0, |name| name.as_str().len())
        };
        self.registered.as_ref().map_or(0, bytes)
    }

    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        match command {
            UserCommand::Register { user_id, email, name } => {
                if self.registered.is_some() {
                    return Err(UserError::AlreadyRegistered);
                }
                let (email, name) = (Personal::new(user_id, email), Personal::new(user_id, name));
                Ok(vec![UserEvent::Registered(UserRegistered { user_id, email, name })])
            }
            UserCommand::Rename { name } => {
                let user = self.active()?;
                if user.name.value() == Some(&name) {
                    return Ok(Vec::new());
                }
                let user_id = user.user_id;
                Ok(vec![UserEvent::Renamed(UserRenamed {
                    user_id,
                    name: Personal::new(user_id, name),
                })])
            }
            UserCommand::ChangeEmail { email } => {
                let user = self.active()?;
                if user.email.value() == Some(&email) {
                    return Ok(Vec::new());
                }
                let user_id = user.user_id;
                Ok(vec![UserEvent::EmailChanged(UserEmailChanged {
                    user_id,
                    email: Personal::new(user_id, email),
                })])
            }
            UserCommand::Deactivate => {
                let user_id = self.active()?.user_id;
                Ok(vec![UserEvent::Deactivated(UserDeactivated { user_id })])
            }
        }
    }

    fn evolve(mut self, event: UserEvent) -> Self {
        match (event, &mut self.registered) {
            (UserEvent::Registered(UserRegistered { user_id, email, name }), _) => {
                self.registered = Some(Registered { user_id, email, name, active: true });
            }
            (UserEvent::Renamed(renamed), Some(user)) => user.name = renamed.name,
            (UserEvent::EmailChanged(changed), Some(user)) => user.email = changed.email,
            (UserEvent::Deactivated(_), Some(user)) => user.active = false,
            // A stream begins with the registration, so no other event can come before it.
            (
                UserEvent::Renamed(_) | UserEvent::EmailChanged(_) | UserEvent::Deactivated(_),
                None,
            ) => {}
        }
        self
    }
}
