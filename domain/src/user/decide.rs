//! What each command to a user leads to.

use uuid::Uuid;

use super::address::Address;
use super::command::{NewAddress, UserCommand};
use super::event::{
    UserAddressAdded, UserAddressChanged, UserAddressRemoved, UserClassified, UserDeactivated,
    UserEmailChanged, UserEvent, UserPreferencesChanged, UserProfileChanged, UserReactivated,
    UserRegistered, UserRenamed,
};
use super::{MAX_ADDRESSES, Registered, User, UserError};
use crate::personal::Personal;
use crate::value::{CustomerType, Email, PersonName};

/// The events that a command leads to. None means that the user is so already.
pub(super) fn decide(user: &User, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
    let event = match command {
        UserCommand::Register { user_id, email, name } => {
            if user.registered.is_some() {
                return Err(UserError::AlreadyRegistered);
            }
            let (email, name) = (Personal::new(user_id, email), Personal::new(user_id, name));
            Some(UserEvent::Registered(UserRegistered { user_id, email, name }))
        }
        UserCommand::Rename { name } => user.active()?.rename(name),
        UserCommand::ChangeEmail { email } => user.active()?.change_email(email),
        UserCommand::ChangeProfile(change) => {
            let user = user.active()?;
            user.profile.after(user.user_id, change).map(|profile| {
                UserEvent::ProfileChanged(UserProfileChanged { user_id: user.user_id, profile })
            })
        }
        UserCommand::ChangePreferences(change) => {
            let user = user.active()?;
            user.preferences.after(change).map(|preferences| {
                let user_id = user.user_id;
                UserEvent::PreferencesChanged(UserPreferencesChanged { user_id, preferences })
            })
        }
        UserCommand::Classify { customer_type } => user.active()?.classify(customer_type),
        UserCommand::AddAddress { address_id, address } => {
            Some(user.active()?.add_address(address_id, address)?)
        }
        UserCommand::ChangeAddress { address_id, address } => {
            user.active()?.change_address(address_id, address)?
        }
        UserCommand::RemoveAddress { address_id } => {
            let user = user.active()?;
            user.address(address_id)?;
            let user_id = user.user_id;
            Some(UserEvent::AddressRemoved(UserAddressRemoved { user_id, address_id }))
        }
        UserCommand::Deactivate => {
            let user_id = user.active()?.user_id;
            Some(UserEvent::Deactivated(UserDeactivated { user_id }))
        }
        UserCommand::Reactivate => Some(user.known()?.reactivate()?),
    };
    Ok(event.into_iter().collect())
}

impl Registered {
    fn rename(&self, name: PersonName) -> Option<UserEvent> {
        let (user_id, is_new) = (self.user_id, self.name.value() != Some(&name));
        let name = Personal::new(user_id, name);
        is_new.then_some(UserEvent::Renamed(UserRenamed { user_id, name }))
    }

    fn change_email(&self, email: Email) -> Option<UserEvent> {
        let (user_id, is_new) = (self.user_id, self.email.value() != Some(&email));
        let email = Personal::new(user_id, email);
        is_new.then_some(UserEvent::EmailChanged(UserEmailChanged { user_id, email }))
    }

    fn classify(&self, customer_type: CustomerType) -> Option<UserEvent> {
        let (user_id, is_new) = (self.user_id, self.customer_type != customer_type);
        is_new.then_some(UserEvent::Classified(UserClassified { user_id, customer_type }))
    }

    fn add_address(&self, address_id: Uuid, address: NewAddress) -> Result<UserEvent, UserError> {
        if self.address(address_id).is_ok() {
            return Err(UserError::AddressExists);
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            return Err(UserError::TooManyAddresses);
        }
        let user_id = self.user_id;
        let address = Address::of(user_id, address_id, address);
        Ok(UserEvent::AddressAdded(UserAddressAdded { user_id, address }))
    }

    fn change_address(
        &self,
        address_id: Uuid,
        address: NewAddress,
    ) -> Result<Option<UserEvent>, UserError> {
        let (user_id, old) = (self.user_id, self.address(address_id)?);
        let address = Address::of(user_id, address_id, address);
        let is_new = !address.is_same(old);
        Ok(is_new.then_some(UserEvent::AddressChanged(UserAddressChanged { user_id, address })))
    }

    fn reactivate(&self) -> Result<UserEvent, UserError> {
        if self.active {
            return Err(UserError::Active);
        }
        // Without an address nobody can sign in, and no address is reserved.
        self.email.value().ok_or(UserError::Erased)?;
        Ok(UserEvent::Reactivated(UserReactivated { user_id: self.user_id }))
    }
}
