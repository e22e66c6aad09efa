//! Adds, changes and removes the addresses of a user.

use access::{Owner, Permission};
use domain::user::{NewAddress, UserCommand};
use domain::value::{
    AddressLine, Country, Destination, PersonName, PostalAddress, PostalCode, Region,
};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::idempotency::Part;
use crate::application::input::{Environment, FieldPath, Fields, Input};

/// An address, as the caller writes it.
#[derive(Clone)]
pub struct AddressInput {
    /// What the user calls it.
    pub label: Option<String>,
    /// The person or company that receives.
    pub recipient: String,
    /// The street with the number of the house.
    pub street: String,
    /// The city or town.
    pub city: String,
    /// The postal code, where the country has one.
    pub postal_code: Option<String>,
    /// The country, a code of ISO 3166-1 alpha-2.
    pub country: String,
    /// The region, the second part of a code of ISO 3166-2.
    pub region: Option<String>,
}

impl AddressInput {
    pub(super) fn read(&self) -> Result<NewAddress, CommandError> {
        let mut fields = Fields::default();
        match self.read_in(None, &mut fields) {
            Some(address) => {
                fields.check()?;
                Ok(address)
            }
            None => Err(fields.invalid().into()),
        }
    }

    /// Reads the address, and notes what is wrong. `object` is the field that holds it, unless it
    /// is the whole input.
    pub(super) fn read_in(
        &self,
        object: Option<&'static str>,
        fields: &mut Fields,
    ) -> Option<NewAddress> {
        let at = |name: &'static str| match object {
            Some(object) => FieldPath::from((object, name)),
            None => FieldPath::from(name),
        };
        let label = self.label.as_deref().map(AddressLine::parse);
        let label = label.and_then(|label| fields.value(at("label"), label));
        let recipient = fields.value(at("recipient"), PersonName::parse(&self.recipient));
        let street = fields.value(at("street"), AddressLine::parse(&self.street));
        let city = fields.value(at("city"), AddressLine::parse(&self.city));
        let postal_code = self.postal_code.as_deref().map(PostalCode::parse);
        let postal_code = postal_code.and_then(|code| fields.value(at("postal_code"), code));
        let country = fields.value(at("country"), self.country.parse::<Country>());
        let region = self.region.as_deref().map(Region::parse);
        let region = region.and_then(|region| fields.value(at("region"), region));
        let (recipient, street, city) = (recipient?, street?, city?);
        let postal = PostalAddress { recipient, street, city, postal_code };
        Some(NewAddress { label, postal, destination: Destination { country: country?, region } })
    }
}

/// An address to add, as the caller writes it.
#[derive(Clone)]
pub struct AddAddressInput {
    /// The user's id.
    pub user_id: Uuid,
    /// The address to add, with its destination.
    pub address: AddressInput,
}

/// Adds an address to a user.
pub struct AddAddress {
    /// The user's id.
    pub user_id: Uuid,
    /// The new id of the address.
    pub address_id: Uuid,
    /// The address to add, with its destination.
    pub address: NewAddress,
}

/// The new content of an address, as the caller writes it.
#[derive(Clone)]
pub struct ChangeAddressInput {
    /// The user's id.
    pub user_id: Uuid,
    /// The id of the address.
    pub address_id: Uuid,
    /// The new address. It replaces the old one as a whole.
    pub address: AddressInput,
}

/// Changes an address of a user as a whole. Orders that were placed with it keep their copy.
pub struct ChangeAddress {
    /// The user's id.
    pub user_id: Uuid,
    /// The id of the address.
    pub address_id: Uuid,
    /// The new address, with its destination. It replaces the old one as a whole.
    pub address: NewAddress,
}

/// Removes an address of a user. Orders that were placed with it keep their copy.
pub struct RemoveAddress {
    /// The user's id.
    pub user_id: Uuid,
    /// The id of the address.
    pub address_id: Uuid,
}

impl Input for AddAddressInput {
    type UseCase = AddAddress;

    fn read(self, _: &Environment) -> Result<AddAddress, CommandError> {
        let address = self.address.read()?;
        Ok(AddAddress { user_id: self.user_id, address_id: Uuid::now_v7(), address })
    }
}

impl UseCase for AddAddress {
    const NAME: &'static str = "add_address";
    const PERMISSION: Permission = Permission::UsersWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { user_id, address_id, ref address } = *self;
        let user = work.user(user_id).await?;
        let address = address.clone();
        let events = user.decide([UserCommand::AddAddress { address_id, address }])?;
        let part = Some(Part::Address(address_id));
        Ok(Decision { changes: work.changes(&user, &events)?, part })
    }
}

impl Input for ChangeAddressInput {
    type UseCase = ChangeAddress;

    fn read(self, _: &Environment) -> Result<ChangeAddress, CommandError> {
        let Self { user_id, address_id, address } = self;
        Ok(ChangeAddress { user_id, address_id, address: address.read()? })
    }
}

impl UseCase for ChangeAddress {
    const NAME: &'static str = "change_address";
    const PERMISSION: Permission = Permission::UsersWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { user_id, address_id, ref address } = *self;
        let user = work.user(user_id).await?;
        let address = address.clone();
        let events = user.decide([UserCommand::ChangeAddress { address_id, address }])?;
        Ok(work.changes(&user, &events)?.into())
    }
}

impl UseCase for RemoveAddress {
    const NAME: &'static str = "remove_address";
    const PERMISSION: Permission = Permission::UsersWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let events = user.decide([UserCommand::RemoveAddress { address_id: self.address_id }])?;
        Ok(work.changes(&user, &events)?.into())
    }
}
