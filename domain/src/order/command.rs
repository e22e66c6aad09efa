//! What an order can be asked.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::OrderLine;
use crate::user::Customer;

/// What an order can be asked.
#[derive(Debug, Clone)]
pub enum OrderCommand {
    /// Begin, pending.
    Place(PlaceOrder),
    /// Have one more line.
    AddLine {
        /// The line, priced.
        line: OrderLine,
    },
    /// Have one line less; the last one may go too.
    RemoveLine {
        /// The order line's id.
        line_id: Uuid,
    },
    /// Count from now on.
    Confirm {
        /// The time of the confirmation.
        at: DateTime<Utc>,
    },
    /// Never count.
    Cancel,
}

/// Begins an order.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// The user who orders.
    pub customer: Customer,
    /// What is ordered, priced; at least one line, all in one currency.
    pub lines: Vec<OrderLine>,
    /// The historical date of an order that is taken over from elsewhere.
    pub ordered_at: Option<DateTime<Utc>>,
}
