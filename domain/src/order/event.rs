//! What happens to an order. Type strings and shapes are permanent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::product::Offer;
use crate::value::{Money, ProductName, Quantity, time};

/// Everything that happens to an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OrderEvent {
    /// `order.placed` v1
    Placed(OrderPlaced),
    /// `order.line_added` v1
    LineAdded(OrderLineAdded),
    /// `order.line_removed` v1
    LineRemoved(OrderLineRemoved),
    /// `order.confirmed` v1
    Confirmed(OrderConfirmed),
    /// `order.cancelled` v1
    Cancelled(OrderCancelled),
}

stored_events!(OrderEvent {
    Placed(OrderPlaced) => "order.placed", 1;
    LineAdded(OrderLineAdded) => "order.line_added", 1;
    LineRemoved(OrderLineRemoved) => "order.line_removed", 1;
    Confirmed(OrderConfirmed) => "order.confirmed", 1;
    Cancelled(OrderCancelled) => "order.cancelled", 1;
});

impl OrderEvent {
    /// Which order's event it is.
    pub const fn order_id(&self) -> Uuid {
        match self {
            Self::Placed(OrderPlaced { order_id, .. })
            | Self::LineAdded(OrderLineAdded { order_id, .. })
            | Self::LineRemoved(OrderLineRemoved { order_id, .. })
            | Self::Confirmed(OrderConfirmed { order_id, .. })
            | Self::Cancelled(OrderCancelled { order_id, .. }) => *order_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let mut labels = vec![("order", self.order_id())];
        match self {
            Self::Placed(OrderPlaced { user_id, .. })
            | Self::Confirmed(OrderConfirmed { user_id, .. })
            | Self::Cancelled(OrderCancelled { user_id, .. }) => labels.push(("user", *user_id)),
            Self::LineAdded(_) | Self::LineRemoved(_) => {}
        }
        labels
    }
}

/// One line of an order, priced when it was added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderLine {
    /// Which line.
    pub line_id: Uuid,
    /// What is ordered.
    pub product_id: Uuid,
    /// What it was called.
    pub product_name: ProductName,
    /// The number of units, from 1.
    pub quantity: Quantity,
    /// What one cost.
    pub unit_price: Money,
}

impl OrderLine {
    /// A line of what a product is offered as.
    pub fn of(line_id: Uuid, offer: &Offer, quantity: Quantity) -> Self {
        let (product_id, product_name, unit_price) =
            (offer.product_id(), offer.name().clone(), offer.unit_price());
        Self { line_id, product_id, product_name, quantity, unit_price }
    }
}

/// `order.placed` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// What is ordered to begin with.
    pub lines: Vec<OrderLine>,
    /// What all lines come to.
    pub total: Money,
    /// The historical date of an imported order.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time::read_option"
    )]
    pub ordered_at: Option<DateTime<Utc>>,
}

/// `order.line_added` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderLineAdded {
    /// Which order.
    pub order_id: Uuid,
    /// The new line.
    pub line: OrderLine,
    /// What all lines come to now.
    pub total: Money,
}

/// `order.line_removed` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderLineRemoved {
    /// Which order.
    pub order_id: Uuid,
    /// Which line.
    pub line_id: Uuid,
    /// What all lines come to now.
    pub total: Money,
}

/// `order.confirmed` v1: from here on it counts in every figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
    /// What it comes to.
    pub total: Money,
    /// How many units all lines have together.
    pub units: u64,
    /// The day it counts for: an import's date, else the time of the confirmation.
    #[serde(deserialize_with = "time::read")]
    pub ordered_at: DateTime<Utc>,
}

/// `order.cancelled` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order's id.
    pub order_id: Uuid,
    /// The user's id.
    pub user_id: Uuid,
}
