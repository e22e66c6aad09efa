//! The reasons why a field of an input is invalid.

use domain::order::MAX_LINES;
use domain::pricing::{PricingRuleError, TaxModeError};
use domain::product::MAX_STOCK;
use domain::value::{
    CustomerTypeError, DestinationError, EmailError, EvidenceError, LanguageError, MoneyError,
    NameError, PhoneError, PostalCodeError, QuantityError, RateClassError, RateError, ReasonError,
};

use crate::application::use_case::import_order::EARLIEST_YEAR;

/// Why the value of a field is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// The text is not an e-mail address.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The text is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The number is not a quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// The text is not an amount of money, or not a currency.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The text is not a language or a locale.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// The text is not a telephone number.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// The text is not a postal code.
    #[error(transparent)]
    PostalCode(#[from] PostalCodeError),
    /// The text is not a country or a region.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The text is not a type of customer.
    #[error(transparent)]
    CustomerType(#[from] CustomerTypeError),
    /// The number is not a rate.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The text is not a rate class.
    #[error(transparent)]
    RateClass(#[from] RateClassError),
    /// The text is not a mode of taxes.
    #[error(transparent)]
    TaxMode(#[from] TaxModeError),
    /// The rules of pricing contradict each other, or are too many.
    #[error(transparent)]
    PricingRule(#[from] PricingRuleError),
    /// A discount has no rate and no amount with its currency, or both.
    #[error("a discount has either a rate, or an amount and its currency")]
    RateOrAmount,
    /// The stock is outside the allowed range.
    #[error("the stock is not between 0 and {MAX_STOCK}")]
    Stock,
    /// The number of units is outside the allowed range.
    #[error("the number of units is not between 1 and {MAX_STOCK}")]
    Units,
    /// Units are moved from a product to itself.
    #[error("units move between two products")]
    SameProduct,
    /// The text is not a reason.
    #[error(transparent)]
    Reason(#[from] ReasonError),
    /// The text is not the reference of a proof.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The order has no line.
    #[error("an order is placed with at least one line")]
    NoLines,
    /// The order has too many lines.
    #[error("an order has at most {MAX_LINES} lines")]
    TooManyLines,
    /// The date of an imported order is in the future.
    #[error("an order cannot be from the future")]
    FutureOrder,
    /// The date of an imported order is before the earliest allowed year.
    #[error("an order cannot be from before {EARLIEST_YEAR}")]
    OrderTooEarly,
    /// The change names none of the fields that it could change.
    #[error("name at least one of {fields}")]
    NothingToChange {
        /// The names of the fields, such as `name and unit_price`.
        fields: &'static str,
    },
    /// A currency is given without a price.
    #[error("a currency goes with a price")]
    PriceMissing,
    /// The id of something new is not a UUID of version 7.
    #[error("the id of something new is a UUID of version 7")]
    NotVersion7,
    /// The field names a user that does not exist.
    #[error("there is no such user")]
    UnknownUser,
    /// The field names a product that does not exist.
    #[error("there is no such product")]
    UnknownProduct,
}
