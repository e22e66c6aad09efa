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
    /// The stock would become negative.
    #[error("there are only {stock} in stock")]
    NotEnoughStock {
        /// The current stock, in units.
        stock: i64,
    },
    /// The stock would be above [`super::MAX_STOCK`].
    #[error("the stock would be above {}", super::MAX_STOCK)]
    StockTooLarge,
}
