//! The commands of the order aggregate.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::OrderLine;
use crate::user::Customer;

/// A command to an order.
#[derive(Debug, Clone)]
pub enum OrderCommand {
    /// Places the order. It is then pending.
    Place(PlaceOrder),
    /// Adds a line.
    AddLine {
        /// The line with its price.
        line: OrderLine,
    },
    /// Removes a line. Removing the last line is allowed.
    RemoveLine {
        /// The order line's id.
        line_id: Uuid,
    },
    /// Confirms the order. It counts as a sale from then on.
    Confirm {
        /// The time of the confirmation.
        at: DateTime<Utc>,
    },
    /// Cancels the order. It never counts as a sale.
    Cancel,
}

/// The content of a new order.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// The user who orders.
    pub customer: Customer,
    /// The lines with their prices: at least one, all in the same currency.
    pub lines: Vec<OrderLine>,
    /// The original date of an order imported from another system.
    pub ordered_at: Option<DateTime<Utc>>,
}
