//! The events of a user. Type strings and shapes are permanent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::profile::{Preferences, Profile};
use crate::aggregate::stored_events;
use crate::personal::Personal;
use crate::value::{CustomerType, Email, PersonName};

/// An event of a user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UserEvent {
    /// `user.registered` v1: a user registered.
    Registered(UserRegistered),
    /// `user.renamed` v1: the name changed.
    Renamed(UserRenamed),
    /// `user.email_changed` v1: the e-mail address changed.
    EmailChanged(UserEmailChanged),
    /// `user.profile_changed` v1: the profile changed.
    ProfileChanged(UserProfileChanged),
    /// `user.preferences_changed` v1: the preferences changed.
    PreferencesChanged(UserPreferencesChanged),
    /// `user.classified` v1: the type of the customer changed.
    Classified(UserClassified),
    /// `user.address_added` v1: an address was added.
    AddressAdded(UserAddressAdded),
    /// `user.address_changed` v1: an address changed.
    AddressChanged(UserAddressChanged),
    /// `user.address_removed` v1: an address was removed.
    AddressRemoved(UserAddressRemoved),
    /// `user.deactivated` v1: the user was deactivated.
    Deactivated(UserDeactivated),
    /// `user.reactivated` v1: the user was reactivated.
    Reactivated(UserReactivated),
}

stored_events!(UserEvent {
    Registered(UserRegistered) => "user.registered", 1;
    Renamed(UserRenamed) => "user.renamed", 1;
    EmailChanged(UserEmailChanged) => "user.email_changed", 1;
    ProfileChanged(UserProfileChanged) => "user.profile_changed", 1;
    PreferencesChanged(UserPreferencesChanged) => "user.preferences_changed", 1;
    Classified(UserClassified) => "user.classified", 1;
    AddressAdded(UserAddressAdded) => "user.address_added", 1;
    AddressChanged(UserAddressChanged) => "user.address_changed", 1;
    AddressRemoved(UserAddressRemoved) => "user.address_removed", 1;
    Deactivated(UserDeactivated) => "user.deactivated", 1;
    Reactivated(UserReactivated) => "user.reactivated", 1;
});

impl UserEvent {
    /// The id of the user that the event belongs to.
    pub const fn user_id(&self) -> Uuid {
        match self {
            Self::Registered(UserRegistered { user_id, .. })
            | Self::Renamed(UserRenamed { user_id, .. })
            | Self::EmailChanged(UserEmailChanged { user_id, .. })
            | Self::ProfileChanged(UserProfileChanged { user_id, .. })
            | Self::PreferencesChanged(UserPreferencesChanged { user_id, .. })
            | Self::Classified(UserClassified { user_id, .. })
            | Self::AddressAdded(UserAddressAdded { user_id, .. })
            | Self::AddressChanged(UserAddressChanged { user_id, .. })
            | Self::AddressRemoved(UserAddressRemoved { user_id, .. })
            | Self::Deactivated(UserDeactivated { user_id })
            | Self::Reactivated(UserReactivated { user_id }) => *user_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        vec![("user", self.user_id())]
    }
}

/// The payload of `user.registered` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The user's id.
    pub user_id: Uuid,
    /// The e-mail address, unique among users.
    pub email: Personal<Email>,
    /// The person's name.
    pub name: Personal<PersonName>,
}

/// The payload of `user.renamed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserRenamed {
    /// The user's id.
    pub user_id: Uuid,
    /// The new name.
    pub name: Personal<PersonName>,
}

/// The payload of `user.email_changed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserEmailChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The new e-mail address.
    pub email: Personal<Email>,
}

/// The payload of `user.profile_changed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserProfileChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The whole profile after the change.
    pub profile: Profile,
}

/// The payload of `user.preferences_changed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserPreferencesChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The whole preferences after the change.
    pub preferences: Preferences,
}

/// The payload of `user.classified` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserClassified {
    /// The user's id.
    pub user_id: Uuid,
    /// The type of the customer from now on.
    pub customer_type: CustomerType,
}

/// The payload of `user.address_added` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserAddressAdded {
    /// The user's id.
    pub user_id: Uuid,
    /// The new address.
    pub address: Address,
}

/// The payload of `user.address_changed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserAddressChanged {
    /// The user's id.
    pub user_id: Uuid,
    /// The whole address after the change.
    pub address: Address,
}

/// The payload of `user.address_removed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserAddressRemoved {
    /// The user's id.
    pub user_id: Uuid,
    /// The id of the address that was removed.
    pub address_id: Uuid,
}

/// The payload of `user.deactivated` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserDeactivated {
    /// The user's id.
    pub user_id: Uuid,
}

/// The payload of `user.reactivated` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserReactivated {
    /// The user's id.
    pub user_id: Uuid,
}
