//! The reasons for which rules are refused, and an order is not priced.

use crate::value::{Country, MoneyError, RateClass};

/// Why an order cannot be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// The shop levies taxes, and the order has no shipping address.
    #[error("the tax depends on the shipping address, and the order has none")]
    NoDestination,
    /// The tax table has no rate for the country, or the region, and the class of a product.
    #[error("there is no tax rate for the class {rate_class} in {country}")]
    NoTaxRate {
        /// The country that the order goes to.
        country: Country,
        /// The rate class of a product in the order.
        rate_class: RateClass,
    },
    /// The order has no lines.
    #[error("the order has no lines")]
    NoLines,
    /// The amounts do not add up.
    #[error("the price does not add up: {0}")]
    Money(#[from] MoneyError),
}

/// Why rules of pricing are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PricingRuleError {
    /// There are more than [`super::MAX_DISCOUNTS`] discounts.
    #[error("there are more than {} discounts", super::MAX_DISCOUNTS)]
    TooManyDiscounts,
    /// The tax table has more than [`super::MAX_TAX_RATES`] rates.
    #[error("there are more than {} tax rates", super::MAX_TAX_RATES)]
    TooManyTaxRates,
    /// Two discounts have the same id.
    #[error("two discounts have the same id")]
    RepeatedDiscount,
    /// A period ends before it begins, or at once.
    #[error("a period ends after it begins")]
    EmptyPeriod,
    /// A country, or a region and class in it, is there twice.
    #[error("a country has one entry, and one rate for each region and class")]
    RepeatedTax,
}
