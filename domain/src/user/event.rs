//! What happens to a user. Type strings and shapes are permanent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::personal::Personal;
use crate::value::{Email, PersonName};

/// Everything that happens to a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserEvent {
    /// `user.registered` v1
    Registered(UserRegistered),
    /// `user.renamed` v1
    Renamed(UserRenamed),
    /// `user.email_changed` v1
    EmailChanged(UserEmailChanged),
    /// `user.deactivated` v1
    Deactivated(UserDeactivated),
}

stored_events!(UserEvent {
    Registered(UserRegistered) => "user.registered", 1;
    Renamed(UserRenamed) => "user.renamed", 1;
    EmailChanged(UserEmailChanged) => "user.email_changed", 1;
    Deactivated(UserDeactivated) => "user.deactivated", 1;
});

impl UserEvent {
    /// Whose event it is.
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

/// `user.registered` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRegistered {
    /// The user's id.
    pub user_id: Uuid,
    /// The address, unique among users.
    pub email: Personal<Email>,
    /// The name.
    pub name: Personal<PersonName>,
}

/// `user.renamed` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRenamed {
    /// The user's id.
    pub user_id: Uuid,
    /// The new name.
    pub name: Personal<PersonName>,
}

/// `user.email_changed` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserEmailChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The new address.
    pub email: Personal<Email>,
}

/// `user.deactivated` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserDeactivated {
    /// The user's id.
    pub user_id: Uuid,
}
