//! The reasons for which an order refuses a command.

use super::OrderStatus;
use crate::pricing::PricingError;
use crate::value::{Money, MoneyError};

/// Why an order refuses a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The order does not exist.
    #[error("there is no such order")]
    Unknown,
    /// An order with this id exists already.
    #[error("the order is placed already")]
    AlreadyPlaced,
    /// A new order has no lines.
    #[error("an order is placed with at least one line")]
    NoLines,
    /// The order would have more than [`super::MAX_LINES`] lines.
    #[error("an order has at most {} lines", super::MAX_LINES)]
    TooManyLines,
    /// A line cannot be added to the total of the lines before it.
    #[error("line {line} does not add to the total: {reason}")]
    Total {
        /// The index of the line, counted from 0.
        line: usize,
        /// Why the amount is refused.
        reason: MoneyError,
    },
    /// The order has no line with this id.
    #[error("the order has no such line")]
    UnknownLine,
    /// The order is not pending, so it cannot change.
    #[error("the order is {}", status.as_str())]
    NotPending {
        /// The current status of the order.
        status: OrderStatus,
    },
    /// The order is not in the status that the command needs.
    #[error("the order is {}, not {}", status.as_str(), needed.as_str())]
    OtherStatus {
        /// The current status of the order.
        status: OrderStatus,
        /// The status in which the command is accepted.
        needed: OrderStatus,
    },
    /// The order is shipped or closed, so it cannot be cancelled.
    #[error("the order is {}", status.as_str())]
    NotCancellable {
        /// The current status of the order.
        status: OrderStatus,
    },
    /// The user who ordered tries to record something about the order.
    #[error("nobody records payments, shipments or refunds of their own orders")]
    OwnOrder,
    /// Nothing was paid, so nothing can be refunded.
    #[error("nothing was paid for the order")]
    NothingPaid,
    /// A refund has no amount.
    #[error("a refund is more than nothing")]
    EmptyRefund,
    /// A refund is larger than the rest of the payment.
    #[error("only {} {} are left of the payment", left.to_decimal(), left.currency())]
    RefundTooLarge {
        /// The part of the payment that was not given back yet.
        left: Money,
    },
    /// A refund of the whole payment before the order is shipped or cancelled.
    #[error("an order is cancelled before its whole payment is refunded")]
    CancelFirst,
    /// The amount of a refund does not fit the payment.
    #[error("the amount does not fit the payment: {reason}")]
    Refund {
        /// Why the amount is refused.
        reason: MoneyError,
    },
    /// The order cannot be priced, so it cannot be confirmed.
    #[error("the order cannot be priced: {reason}")]
    NotPriced {
        /// Why it has no price.
        reason: PricingError,
    },
    /// The order has no lines, so it cannot be confirmed.
    #[error("the order has no lines")]
    Empty,
}
