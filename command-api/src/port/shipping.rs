//! The port to a shipper.

use std::fmt;

use domain::value::{Destination, PostalAddress, Quantity};
use uuid::Uuid;

use super::payment::InvalidId;
use super::{Call, Fate, GatewayError};

/// A shipper, which fetches parcels and delivers them.
#[async_trait::async_trait]
pub trait Shipping: fmt::Debug + Send + Sync {
    /// Asks for a shipment.
    ///
    /// # Errors
    /// [`GatewayError`]. `Declined`: the shipper does not ship it.
    async fn request(&self, call: &Call, parcel: &Parcel) -> Result<Shipment, GatewayError>;

    /// Cancels a shipment that is not on its way yet.
    ///
    /// # Errors
    /// [`GatewayError`]. `Declined`: it is on its way.
    async fn cancel(&self, call: &Call, shipment: &ShipmentId) -> Result<Shipment, GatewayError>;

    /// Makes sure that a request under this key never becomes a shipment, if it did not yet.
    ///
    /// # Errors
    /// [`GatewayError`].
    async fn forbid(&self, call: &Call) -> Result<Fate, GatewayError>;

    /// The shipment that a request with this key asked for, as it is now. `None` says only that it
    /// does not show yet: the call may still be under way.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] and [`GatewayError::Invalid`]: a look-up takes no effect.
    async fn find(&self, call: &Call) -> Result<Option<Shipment>, GatewayError>;

    /// The shipment with this id, as it is now.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`], and [`GatewayError::Invalid`] if there is none.
    async fn read(&self, call: &Call, shipment: &ShipmentId) -> Result<Shipment, GatewayError>;
}

/// What is shipped, and where to. The address is personal data: it is sent to the shipper and kept
/// nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The order that is shipped.
    pub order: Uuid,
    /// Who receives it, and where.
    pub address: PostalAddress,
    /// The country and the region.
    pub destination: Destination,
    /// The products, and how many of each.
    pub items: Vec<(Uuid, Quantity)>,
}

/// The shipper's id of a shipment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShipmentId(String);

/// A shipment, as the shipper shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// The shipper's id of the shipment.
    pub id: ShipmentId,
    /// The order that is shipped.
    pub order: Uuid,
    /// The number to follow it by, if there is one yet.
    pub tracking: Option<String>,
    /// How far it is on its way.
    pub state: ShipmentState,
}

/// How far a shipment is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShipmentState {
    /// The shipper will fetch it.
    Requested,
    /// It is on its way.
    Dispatched,
    /// The recipient has it.
    Delivered,
    /// It was cancelled before it was on its way, by us or by the shipper.
    Cancelled,
}

impl ShipmentId {
    /// Accepts an id that is safe in a path.
    ///
    /// # Errors
    /// [`InvalidId`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        super::payment::PaymentId::parse(text).map(|id| Self(id.as_str().to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
