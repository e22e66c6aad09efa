//! What an order costs: its lines, less discounts, with the tax of where it goes.
//!
//! 1. Percentages are taken off first, in the sequence of the rules, each off what remains.
//! 2. Amounts are taken off next, in the same way. A discount never takes off more than remains.
//! 3. Each discount is spread over the lines in proportion to what remains of them.
//! 4. The tax of each rate class is computed once, on the sum of its discounted lines.
//!
//! Each result is rounded to the minor unit, half a unit up.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::value::{CustomerType, Destination, Money, RateClass};

pub mod discount;
pub mod error;
pub mod price;
pub mod rules;
pub mod tax;
#[cfg(test)]
mod tests;

pub use discount::{Discount, Off, Period};
pub use error::{PricingError, PricingRuleError};
pub use price::{Price, PricedLine, Tax, UsedDiscount};
pub use rules::{MAX_TAX_RATES, PRICING, Pricing, PricingCommand, PricingEvent, TaxedCountry};
pub use tax::{CountryTax, TaxMode, TaxModeError, TaxRate, TaxTable};

/// The maximum number of discount rules.
pub const MAX_DISCOUNTS: usize = 100;

/// Prices orders by the rules of the shop. The default has no discounts and no taxes.
#[derive(Debug, Clone, Default)]
pub struct OrderPricing {
    discounts: Vec<Discount>,
    taxes: TaxTable,
}

/// What the price of an order depends on, next to the rules of the shop.
#[derive(Debug, Clone)]
pub struct PriceRequest {
    /// The time of the sale, which discounts must be valid at.
    pub at: DateTime<Utc>,
    /// The type of the customer.
    pub customer_type: CustomerType,
    /// Where the order goes, or `None` if it has no shipping address.
    pub destination: Option<Destination>,
    /// The lines of the order, all in one currency.
    pub lines: Vec<LineToPrice>,
}

/// A line of an order to price.
#[derive(Debug, Clone, Copy)]
pub struct LineToPrice {
    /// The line's id.
    pub line_id: Uuid,
    /// The rate class of its product.
    pub rate_class: RateClass,
    /// The price of all its units, before discounts.
    pub list: Money,
}

impl OrderPricing {
    /// Makes the pricing of these rules. Discounts are used in this sequence.
    ///
    /// # Errors
    /// [`PricingRuleError`] if there are more than [`MAX_DISCOUNTS`], or two with the same id.
    pub fn new(discounts: Vec<Discount>, taxes: TaxTable) -> Result<Self, PricingRuleError> {
        if discounts.len() > MAX_DISCOUNTS {
            return Err(PricingRuleError::TooManyDiscounts);
        }
        let ids: BTreeSet<Uuid> = discounts.iter().map(|discount| discount.discount_id).collect();
        if ids.len() < discounts.len() {
            return Err(PricingRuleError::RepeatedDiscount);
        }
        Ok(Self { discounts, taxes })
    }

    /// Whether there are no rules, so that every order costs the sum of its lines.
    pub fn is_empty(&self) -> bool {
        self.discounts.is_empty() && self.taxes.is_empty()
    }

    /// Prices an order.
    ///
    /// # Errors
    /// [`PricingError`] if the tax cannot be told, or the amounts are too large.
    pub fn price(&self, request: &PriceRequest) -> Result<Price, PricingError> {
        let PriceRequest { at, customer_type, destination, lines } = request;
        let discounts: Vec<Discount> = self
            .discounts
            .iter()
            .filter(|discount| discount.is_for(*customer_type, *at))
            .cloned()
            .collect();
        let (tax_mode, rates) =
            self.taxes.rates(destination.as_ref(), lines.iter().map(|line| line.rate_class))?;
        price::compute(&price::Basis {
            priced_at: *at,
            customer_type: *customer_type,
            destination: destination.clone(),
            lines: lines.clone(),
            discounts,
            tax_mode,
            rates,
        })
    }
}
