//! Why a product says no.

/// Why a product says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// There is no such product.
    #[error("there is no such product")]
    Unknown,
    /// The id is taken.
    #[error("the product is there already")]
    AlreadyAdded,
    /// The stock is never negative.
    #[error("there are only {stock} in stock")]
    NotEnoughStock {
        /// How many there are.
        stock: i64,
    },
    /// Above [`super::MAX_STOCK`].
    #[error("the stock would be above {}", super::MAX_STOCK)]
    StockTooLarge,
}
