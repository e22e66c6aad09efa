//! The events of an order. Type strings and shapes are permanent.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::CancelReason;
use crate::aggregate::stored_events;
use crate::personal::Personal;
use crate::pricing::Price;
use crate::product::Offer;
use crate::value::{
    Destination, Evidence, Money, PostalAddress, ProductName, Quantity, Reason, time,
};

/// An event of an order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OrderEvent {
    /// `order.placed` v1: an order was placed.
    Placed(OrderPlaced),
    /// `order.line_added` v1: a line was added.
    LineAdded(OrderLineAdded),
    /// `order.line_removed` v1: a line was removed.
    LineRemoved(OrderLineRemoved),
    /// `order.shipping_address_set` v1: the order got a shipping address.
    ShippingAddressSet(OrderShippingAddressSet),
    /// `order.priced` v1: the order is confirmed with this price.
    Priced(OrderPriced),
    /// `order.confirmed` v2: the order was confirmed.
    Confirmed(OrderConfirmed),
    /// `order.cancelled` v2: a pending order was cancelled.
    Cancelled(OrderCancelled),
    /// `order.sale_cancelled` v2: an order was cancelled after its confirmation.
    SaleCancelled(OrderSaleCancelled),
    /// `order.payment_requested` v1: the user asks to pay.
    PaymentRequested(OrderPaymentRequested),
    /// `order.paid` v1: the order was paid.
    Paid(OrderPaid),
    /// `order.shipped` v1: the order was shipped.
    Shipped(OrderShipped),
    /// `order.delivered` v1: the order arrived.
    Delivered(OrderDelivered),
    /// `order.refunded` v1: money was given back.
    Refunded(OrderRefunded),
}

stored_events!(OrderEvent {
    Placed(OrderPlaced) => "order.placed", 1;
    LineAdded(OrderLineAdded) => "order.line_added", 1;
    LineRemoved(OrderLineRemoved) => "order.line_removed", 1;
    ShippingAddressSet(OrderShippingAddressSet) => "order.shipping_address_set", 1;
    Priced(OrderPriced) => "order.priced", 1;
    Confirmed(OrderConfirmed) => "order.confirmed", 2;
    Cancelled(OrderCancelled) => "order.cancelled", 2;
    SaleCancelled(OrderSaleCancelled) => "order.sale_cancelled", 2;
    PaymentRequested(OrderPaymentRequested) => "order.payment_requested", 1;
    Paid(OrderPaid) => "order.paid", 1;
    Shipped(OrderShipped) => "order.shipped", 1;
    Delivered(OrderDelivered) => "order.delivered", 1;
    Refunded(OrderRefunded) => "order.refunded", 1;
});

impl OrderEvent {
    /// The id of the order that the event belongs to.
    pub const fn order_id(&self) -> Uuid {
        match self {
            Self::Placed(OrderPlaced { order_id, .. })
            | Self::LineAdded(OrderLineAdded { order_id, .. })
            | Self::LineRemoved(OrderLineRemoved { order_id, .. })
            | Self::ShippingAddressSet(OrderShippingAddressSet { order_id, .. })
            | Self::Priced(OrderPriced { order_id, .. })
            | Self::Confirmed(OrderConfirmed { order_id, .. })
            | Self::Cancelled(OrderCancelled { order_id, .. })
            | Self::SaleCancelled(OrderSaleCancelled { order_id, .. })
            | Self::PaymentRequested(OrderPaymentRequested { order_id, .. })
            | Self::Paid(OrderPaid { order_id, .. })
            | Self::Shipped(OrderShipped { order_id, .. })
            | Self::Delivered(OrderDelivered { order_id, .. })
            | Self::Refunded(OrderRefunded { order_id, .. }) => *order_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let mut labels = vec![("order", self.order_id())];
        match self {
            Self::Placed(OrderPlaced { user_id, .. })
            | Self::ShippingAddressSet(OrderShippingAddressSet { user_id, .. })
            | Self::Priced(OrderPriced { user_id, .. })
            | Self::Confirmed(OrderConfirmed { user_id, .. })
            | Self::Cancelled(OrderCancelled { user_id, .. })
            | Self::SaleCancelled(OrderSaleCancelled { user_id, .. })
            | Self::PaymentRequested(OrderPaymentRequested { user_id, .. })
            | Self::Paid(OrderPaid { user_id, .. })
            | Self::Shipped(OrderShipped { user_id, .. })
            | Self::Delivered(OrderDelivered { user_id, .. })
            | Self::Refunded(OrderRefunded { user_id, .. }) => labels.push(("user", *user_id)),
            Self::LineAdded(_) | Self::LineRemoved(_) => {}
        }
        labels
    }
}

/// A line of an order, with its own copy of the product's name and price.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderLine {
    /// The line's id.
    pub line_id: Uuid,
    /// The id of the ordered product.
    pub product_id: Uuid,
    /// The product's name when the line was added.
    pub product_name: ProductName,
    /// The number of units, from 1.
    pub quantity: Quantity,
    /// The price of one unit: the offered price when the line was added, or the original price of
    /// an imported order.
    pub unit_price: Money,
}

impl OrderLine {
    /// Creates a line for a product with the name and price of this offer.
    pub fn of(line_id: Uuid, offer: &Offer, quantity: Quantity) -> Self {
        let (product_id, product_name, unit_price) =
            (offer.product_id(), offer.name().clone(), offer.unit_price());
        Self { line_id, product_id, product_name, quantity, unit_price }
    }
}

/// The payload of `order.placed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderPlaced {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The lines that the order starts with.
    pub lines: Vec<OrderLine>,
    /// The sum over all lines.
    pub total: Money,
    /// The original date of an imported order.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time::read_option"
    )]
    pub ordered_at: Option<DateTime<Utc>>,
}

/// The payload of `order.line_added` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderLineAdded {
    /// The order's id.
    pub order_id: Uuid,
    /// The new line.
    pub line: OrderLine,
    /// The sum over all lines, with the new one.
    pub total: Money,
}

/// The payload of `order.line_removed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderLineRemoved {
    /// The order's id.
    pub order_id: Uuid,
    /// The id of the removed line.
    pub line_id: Uuid,
    /// The sum over the remaining lines.
    pub total: Money,
}

/// The payload of `order.shipping_address_set` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderShippingAddressSet {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The recipient and the place in the country.
    pub postal: Personal<PostalAddress>,
    /// The country and the region.
    pub destination: Destination,
}

/// The payload of `order.priced` v1. The order is confirmed in the same append, with the total of
/// this price.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderPriced {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The version of the pricing with whose rules it was computed.
    pub pricing_version: i64,
    /// The price, with everything that it was computed from.
    pub price: Price,
}

/// The payload of `order.confirmed` v2. From this event on, the order counts as a sale.
///
/// Version 2 added `to_fulfil`. An order that was confirmed by version 1 has its stock reserved,
/// and people fulfil it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderConfirmed {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// What the customer pays: the total of its price, or the sum over all lines if there are no
    /// rules of pricing.
    pub total: Money,
    /// The number of units over all lines.
    pub units: u64,
    /// The time of the sale: the original date of an imported order, otherwise the time of
    /// confirmation.
    #[serde(deserialize_with = "time::read")]
    pub ordered_at: DateTime<Utc>,
    /// Whether the shop has to fulfil it: to reserve its stock, charge its payment and ship it. An
    /// imported order was fulfilled elsewhere.
    pub to_fulfil: bool,
}

/// The payload of `order.cancelled` v2. Version 2 added `reason`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderCancelled {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// Why. It is absent in what version 1 wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CancelReason>,
}

/// The payload of `order.sale_cancelled` v2. From this event on, the order no longer counts as a
/// sale. Version 2 added `reason` and `products`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderSaleCancelled {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The total that no longer counts, as in `order.confirmed`.
    pub total: Money,
    /// The units that no longer count, as in `order.confirmed`.
    pub units: u64,
    /// The time of the sale, as in `order.confirmed`.
    #[serde(deserialize_with = "time::read")]
    pub ordered_at: DateTime<Utc>,
    /// Why. It is absent in what version 1 wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CancelReason>,
    /// The products that the reason is about, such as those that lack units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Uuid>,
}

/// The payload of `order.payment_requested` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderPaymentRequested {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The amount to pay: the total of the order.
    pub amount: Money,
}

/// The payload of `order.paid` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderPaid {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The amount that was paid: the total of the order.
    pub amount: Money,
    /// The time of the sale, as in `order.confirmed`.
    #[serde(deserialize_with = "time::read")]
    pub ordered_at: DateTime<Utc>,
    /// Why it was recorded.
    pub reason: Reason,
    /// The proof in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The payload of `order.shipped` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderShipped {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// Why it was recorded.
    pub reason: Reason,
    /// The proof in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The payload of `order.delivered` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderDelivered {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// Why it was recorded.
    pub reason: Reason,
    /// The proof in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The payload of `order.refunded` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderRefunded {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// The amount that was given back now.
    pub amount: Money,
    /// The amount that was given back so far, with this one.
    pub refunded: Money,
    /// Whether the order ends with this: it was shipped, and its whole payment was given back.
    pub ends_order: bool,
    /// The time of the sale, as in `order.confirmed`.
    #[serde(deserialize_with = "time::read")]
    pub ordered_at: DateTime<Utc>,
    /// Why it was recorded.
    pub reason: Reason,
    /// The proof in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}
