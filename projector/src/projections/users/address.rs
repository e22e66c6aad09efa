//! The addresses of a user, as stored in the column `addresses`.

use domain::Personal;
use domain::value::{AddressLine, PersonName, PostalAddress, PostalCode, Region};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An address. Its personal fields are null after they were erased.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Address {
    id: Uuid,
    label: Option<String>,
    recipient: Option<String>,
    street: Option<String>,
    city: Option<String>,
    postal_code: Option<String>,
    country: String,
    region: Option<String>,
}

impl From<&domain::user::Address> for Address {
    fn from(address: &domain::user::Address) -> Self {
        let label = address.label.as_ref().and_then(Personal::value);
        let postal = address.postal.value();
        let of = |text: fn(&PostalAddress) -> &str| postal.map(|postal| text(postal).to_owned());
        let postal_code = postal.and_then(|postal| postal.postal_code.as_ref());
        let destination = &address.destination;
        Self {
            id: address.address_id,
            label: label.map(AddressLine::as_str).map(str::to_owned),
            recipient: of(|postal| PersonName::as_str(&postal.recipient)),
            street: of(|postal| AddressLine::as_str(&postal.street)),
            city: of(|postal| AddressLine::as_str(&postal.city)),
            postal_code: postal_code.map(PostalCode::as_str).map(str::to_owned),
            country: destination.country.code().to_owned(),
            region: destination.region.as_ref().map(Region::as_str).map(str::to_owned),
        }
    }
}

impl Address {
    /// Puts the address in the place of the one with its id, or behind the others.
    pub(super) fn put_into(self, addresses: &mut Vec<Self>) {
        match addresses.iter_mut().find(|address| address.id == self.id) {
            Some(address) => *address = self,
            None => addresses.push(self),
        }
    }

    /// Whether it has this id.
    pub(super) fn is(&self, id: Uuid) -> bool {
        self.id == id
    }

    /// Blanks the personal fields.
    pub(super) fn blank(&mut self) {
        (self.label, self.recipient, self.street) = (None, None, None);
        (self.city, self.postal_code) = (None, None);
    }
}
