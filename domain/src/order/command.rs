//! The commands of the order aggregate.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Cancellation;
use super::event::OrderLine;
use crate::pricing::OrderPricing;
use crate::user::Customer;
use crate::value::{CustomerType, Destination, Evidence, Money, PostalAddress, RateClass, Reason};

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
    /// Sets or replaces the shipping address of a pending order.
    SetShippingAddress {
        /// The recipient and the place in the country.
        postal: PostalAddress,
        /// The country and the region.
        destination: Destination,
    },
    /// Confirms the order. Its price is fixed, and it counts as a sale from then on.
    Confirm {
        /// The time of the confirmation.
        at: DateTime<Utc>,
        /// The rules by which it is priced, or `None` if it costs the sum of its lines.
        rules: Option<Rules>,
    },
    /// Cancels the order if it is not shipped. It does not count as a sale then.
    Cancel(Cancellation),
    /// Notes that the user asks to pay a confirmed order. A repeat changes nothing.
    RequestPayment,
    /// Records that a confirmed order is paid in whole.
    RecordPayment(Record),
    /// Records that a paid order is shipped.
    Ship(Record),
    /// Records that a shipped order has arrived.
    Deliver(Record),
    /// Records that a part of the payment, or all of it, was given back.
    Refund {
        /// The amount, in the currency of the order.
        amount: Money,
        /// Who records it, and why.
        record: Record,
    },
}

/// The rules by which an order is priced.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The version of the shop's pricing.
    pub version: i64,
    /// Its discounts and taxes.
    pub pricing: OrderPricing,
    /// The type of the customer.
    pub customer_type: CustomerType,
    /// The rate classes of the ordered products. One that is missing is standard.
    pub rate_classes: BTreeMap<Uuid, RateClass>,
}

/// Who records something that happened outside, and why. The owner of an order records nothing
/// about it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The acting user, if a person acts.
    pub by: Option<Uuid>,
    /// Why it is recorded. It is not about a person.
    pub reason: Reason,
    /// The proof in another system.
    pub evidence: Option<Evidence>,
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
