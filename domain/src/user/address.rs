//! The addresses of a user, as events and the state have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::NewAddress;
use crate::personal::Personal;
use crate::value::{AddressLine, Destination, PostalAddress};

/// An address of a user. All is personal except where taxes depend on it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// The id of the address.
    pub address_id: Uuid,
    /// What the user calls it. It is a free text, so it may say anything about the person.
    pub label: Option<Personal<AddressLine>>,
    /// The recipient and the place in the country.
    pub postal: Personal<PostalAddress>,
    /// The country and the region.
    pub destination: Destination,
}

impl Address {
    pub(super) fn of(user_id: Uuid, address_id: Uuid, address: NewAddress) -> Self {
        let NewAddress { label, postal, destination } = address;
        let label = label.map(|label| Personal::new(user_id, label));
        Self { address_id, label, postal: Personal::new(user_id, postal), destination }
    }

    /// Whether both have the same content, apart from their ids.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let label = |address: &Self| address.label.as_ref().and_then(Personal::value).cloned();
        label(self) == label(other)
            && self.postal.value() == other.postal.value()
            && self.destination == other.destination
    }

    /// The length of all texts, in bytes.
    pub(super) fn text_len(&self) -> usize {
        let label = self.label.as_ref().and_then(Personal::value);
        label.map_or(0, |label| label.as_str().len())
            + self.postal.value().map_or(0, PostalAddress::text_len)
    }
}
