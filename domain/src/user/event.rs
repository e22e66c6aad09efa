//! The events of a user. Type strings and shapes are permanent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::personal::Personal;
use crate::value::{Email, PersonName};

/// An event of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserEvent {
    /// `user.registered` v1: a user registered.
    Registered(UserRegistered),
    /// `user.renamed` v1: the name changed.
    Renamed(UserRenamed),
    /// `user.email_changed` v1: the e-mail address changed.
    EmailChanged(UserEmailChanged),
    /// `user.deactivated` v1: the user was deactivated.
    Deactivated(UserDeactivated),
}

stored_events!(UserEvent {
    Registered(UserRegistered) => "user.registered", 1;
    Renamed(UserRenamed) => "user.renamed", 1;
    EmailChanged(UserEmailChanged) => "user.email_changed", 1;
    Deactivated(UserDeactivated) => "user.deactivated", 1;
});

impl UserEvent {
    /// The id of the user that the event belongs to.
    pub const fn user_id(&self) -> Uuid {
        match self {
            Self::Registered(UserRegistered { user_id, .. })
            | Self::Renamed(UserRenamed { user_id, .. })
            | Self::EmailChanged(UserEmailChanged { user_id, .. })
            | Self::Deactivated(UserDeactivated { user_id }) => *user_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        vec![("user", self.user_id())]
    }
}

/// The payload of `user.registered` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRegistered {
    /// The user's id.
    pub user_id: Uuid,
    /// The e-mail address, unique among users.
    pub email: Personal<Email>,
    /// The person's name.
    pub name: Personal<PersonName>,
}

/// The payload of `user.renamed` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRenamed {
    /// The user's id.
    pub user_id: Uuid,
    /// The new name.
    pub name: Personal<PersonName>,
}

/// The payload of `user.email_changed` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserEmailChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The new e-mail address.
    pub email: Personal<Email>,
}

/// The payload of `user.deactivated` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserDeactivated {
    /// The user's id.
    pub user_id: Uuid,
}
