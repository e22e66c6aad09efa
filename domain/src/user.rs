//! The user aggregate: a person who may order.
//!
//! An e-mail address belongs to one user at a time. That rule covers all users, so the store
//! enforces it with a uniqueness reservation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::personal::Personal;
use crate::value::{CustomerType, Email, PersonName};

pub mod address;
pub mod command;
mod decide;
pub mod error;
pub mod event;
pub mod profile;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use command::{Change, NewAddress, PreferencesChange, ProfileChange, UserCommand};
pub use error::UserError;
pub use event::UserEvent;
pub use profile::{Preferences, Profile};

use event::UserRegistered;

/// The maximum number of addresses of a user.
pub const MAX_ADDRESSES: usize = 10;

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
    customer_type: CustomerType,
    profile: Profile,
    preferences: Preferences,
    /// In the sequence in which they were added.
    addresses: Vec<Address>,
}

/// A user who may order. Only [`User::customer`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    user_id: Uuid,
    customer_type: CustomerType,
}

impl Customer {
    /// The user's id.
    pub const fn user_id(self) -> Uuid {
        self.user_id
    }

    /// The type of the customer, which discounts may depend on.
    pub const fn customer_type(self) -> CustomerType {
        self.customer_type
    }
}

impl User {
    /// The e-mail address, or `None` if the user does not exist or the address was erased.
    pub fn email(&self) -> Option<&Email> {
        self.registered.as_ref().and_then(|user| user.email.value())
    }

    /// The type of the customer, which discounts may depend on. A user who never registered is a
    /// consumer.
    pub fn customer_type(&self) -> CustomerType {
        self.registered.as_ref().map(|user| user.customer_type).unwrap_or_default()
    }

    /// The user as a customer who may order.
    ///
    /// # Errors
    /// [`UserError::Unknown`] if the user never registered, [`UserError::Deactivated`] if the user
    /// is deactivated.
    pub fn customer(&self) -> Result<Customer, UserError> {
        let user = self.active()?;
        Ok(Customer { user_id: user.user_id, customer_type: user.customer_type })
    }

    /// An address of the user.
    ///
    /// # Errors
    /// [`UserError::Unknown`] or [`UserError::UnknownAddress`].
    pub fn address(&self, address_id: Uuid) -> Result<&Address, UserError> {
        self.known()?.address(address_id)
    }

    fn known(&self) -> Result<&Registered, UserError> {
        self.registered.as_ref().ok_or(UserError::Unknown)
    }

    fn active(&self) -> Result<&Registered, UserError> {
        let user = self.known()?;
        if user.active { Ok(user) } else { Err(UserError::Deactivated) }
    }
}

impl Registered {
    fn address(&self, address_id: Uuid) -> Result<&Address, UserError> {
        let found = self.addresses.iter().find(|address| address.address_id == address_id);
        found.ok_or(UserError::UnknownAddress)
    }

    fn evolve(&mut self, event: UserEvent) {
        match event {
            UserEvent::Registered(_) => {}
            UserEvent::Renamed(renamed) => self.name = renamed.name,
            UserEvent::EmailChanged(changed) => self.email = changed.email,
            UserEvent::ProfileChanged(changed) => self.profile = changed.profile,
            UserEvent::PreferencesChanged(changed) => self.preferences = changed.preferences,
            UserEvent::Classified(classified) => self.customer_type = classified.customer_type,
            UserEvent::AddressAdded(added) => self.addresses.push(added.address),
            UserEvent::AddressChanged(changed) => {
                let id = changed.address.address_id;
                for address in self.addresses.iter_mut().filter(|old| old.address_id == id) {
                    address.clone_from(&changed.address);
                }
            }
            UserEvent::AddressRemoved(removed) => {
                self.addresses.retain(|address| address.address_id != removed.address_id);
            }
            UserEvent::Deactivated(_) => self.active = false,
            UserEvent::Reactivated(_) => self.active = true,
        }
    }
}

impl From<UserRegistered> for Registered {
    fn from(registered: UserRegistered) -> Self {
        let UserRegistered { user_id, email, name } = registered;
        Self {
            user_id,
            email,
            name,
            active: true,
            customer_type: CustomerType::default(),
            profile: Profile::default(),
            preferences: Preferences::default(),
            addresses: Vec::new(),
        }
    }
}

impl Aggregate for User {
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(2));

    fn heap_bytes(&self) -> usize {
        let bytes = |user: &Registered| {
            let email = user.email.value().map_or(0, |email| email.as_str().len());
            let name = user.name.value().map_or(0, |name| name.as_str().len());
            let addresses = user.addresses.iter();
            let addresses = addresses.map(|address| size_of::<Address>() + address.text_len());
            email + name + user.profile.text_len() + addresses.sum::<usize>()
        };
        self.registered.as_ref().map_or(0, bytes)
    }

    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        decide::decide(self, command)
    }

    fn evolve(mut self, event: UserEvent) -> Self {
        match (event, &mut self.registered) {
            (UserEvent::Registered(registered), _) => self.registered = Some(registered.into()),
            (event, Some(user)) => user.evolve(event),
            // A stream begins with the registration, so no other event can come before it.
            (_, None) => {}
        }
        self
    }
}
