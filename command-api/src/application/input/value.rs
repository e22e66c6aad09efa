//! What can be wrong with a field of an input.

use domain::order::MAX_LINES;
use domain::product::MAX_STOCK;
use domain::value::{EmailError, MoneyError, NameError, QuantityError};

use crate::application::use_case::import_order::EARLIEST_YEAR;

/// Why the value of a field is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// It is not an e-mail address.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// It is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is not a quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// It is not an amount of money, or not a currency.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// No product has such a stock.
    #[error("the stock is not between 0 and {MAX_STOCK}")]
    Stock,
    /// The order has no line.
    #[error("an order is placed with at least one line")]
    NoLines,
    /// The order has more lines than an order can have.
    #[error("an order has at most {MAX_LINES} lines")]
    TooManyLines,
    /// An imported order has a date that is still to come.
    #[error("an order cannot be from the future")]
    FutureOrder,
    /// An imported order has a date from before the first year that one can be from.
    #[error("an order cannot be from before {EARLIEST_YEAR}")]
    OrderTooEarly,
    /// A change names neither of the two fields that it could change.
    #[error("name the {either}, the {or}, or both")]
    NothingToChange {
        /// The name of one field.
        either: &'static str,
        /// The other field.
        or: &'static str,
    },
    /// There is a currency without a price.
    #[error("a currency goes with a price")]
    PriceMissing,
    /// It names a user that does not exist.
    #[error("there is no such user")]
    UnknownUser,
    /// It names a product that does not exist.
    #[error("there is no such product")]
    UnknownProduct,
}
