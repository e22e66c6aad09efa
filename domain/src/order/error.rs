//! The reasons for which an order refuses a command.

use super::OrderStatus;
use crate::value::MoneyError;

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
    /// The order has no lines, so it cannot be confirmed.
    #[error("the order has no lines")]
    Empty,
}
