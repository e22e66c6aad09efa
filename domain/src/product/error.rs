//! The reasons for which a product refuses a command.

/// Why a product refuses a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// The product does not exist.
    #[error("there is no such product")]
    Unknown,
    /// A product with this id exists already.
    #[error("the product is there already")]
    AlreadyAdded,
    /// Fewer units are available than the command takes.
    #[error("only {available} units are available")]
    NotEnoughStock {
        /// The number of units on hand that are not reserved.
        available: i64,
    },
    /// The stock would be above [`super::MAX_STOCK`].
    #[error("the stock would be above {}", super::MAX_STOCK)]
    StockTooLarge,
    /// The number of units is not positive.
    #[error("the number of units is not from 1 to {}", super::MAX_STOCK)]
    UnitsOutOfRange,
    /// The product has [`super::MAX_RESERVATIONS`] reservations.
    #[error("the product is reserved for {} orders already", super::MAX_RESERVATIONS)]
    TooManyReservations,
}
