//! Why an order says no.

use super::OrderStatus;
use crate::value::MoneyError;

/// Why an order says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such order.
    #[error("there is no such order")]
    Unknown,
    /// The id is taken.
    #[error("the order is placed already")]
    AlreadyPlaced,
    /// An order begins with a line.
    #[error("an order is placed with at least one line")]
    NoLines,
    /// Above [`super::MAX_LINES`].
    #[error("an order has at most {} lines", super::MAX_LINES)]
    TooManyLines,
    /// The line does not add to those before it.
    #[error("line {line} does not add to the total: {reason}")]
    Total {
        /// Which line, from 0.
        line: usize,
        /// Why the amount is refused.
        reason: MoneyError,
    },
    /// The order has no such line.
    #[error("the order has no such line")]
    UnknownLine,
    /// Only a pending order changes.
    #[error("the order is {}", status.as_str())]
    NotPending {
        /// What it is.
        status: OrderStatus,
    },
    /// An order without lines is never confirmed.
    #[error("the order has no lines")]
    Empty,
}
