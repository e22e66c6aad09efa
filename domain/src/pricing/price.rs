//! The price of an order, with everything that it was computed from.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Discount, LineToPrice, PricingError, TaxMode};
use crate::value::{CustomerType, Destination, Money, MoneyError, Rate, RateClass, time};

/// The price of an order, with everything that it was computed from. It has no personal data.
///
/// [`Price::again`] reproduces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// The time that the discounts were valid at.
    #[serde(deserialize_with = "time::read")]
    pub priced_at: DateTime<Utc>,
    /// The type of the customer.
    pub customer_type: CustomerType,
    /// Where the order goes, or `None` if it has no shipping address.
    pub destination: Option<Destination>,
    /// The lines of the order.
    pub lines: Vec<PricedLine>,
    /// The discounts that took something off, in the sequence of their use.
    pub discounts: Vec<UsedDiscount>,
    /// Whether the prices of the lines contain the tax.
    pub tax_mode: TaxMode,
    /// The tax of each rate class in the order. It is empty if the shop levies no tax.
    pub taxes: Vec<Tax>,
    /// The sum over all lines, before discounts.
    pub list: Money,
    /// The sum of all discounts.
    pub discount: Money,
    /// The sum of all taxes.
    pub tax: Money,
    /// The amount that the customer pays.
    pub total: Money,
}

/// A line of an order in its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PricedLine {
    /// The line's id.
    pub line_id: Uuid,
    /// The rate class of its product.
    pub rate_class: RateClass,
    /// The price of all its units, before discounts.
    pub list: Money,
    /// The line's share of all discounts.
    pub discount: Money,
}

/// A discount, with the amount that it took off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsedDiscount {
    /// The rule, as it was then.
    pub rule: Discount,
    /// The amount that it took off.
    pub amount: Money,
}

/// The tax of one rate class in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tax {
    /// The rate class.
    pub rate_class: RateClass,
    /// The rate at the destination.
    pub rate: Rate,
    /// The sum of the discounted lines of this class. It contains the tax if the mode is
    /// inclusive.
    pub base: Money,
    /// The tax.
    pub amount: Money,
}

/// Everything that a price is computed from.
pub(super) struct Basis {
    pub(super) priced_at: DateTime<Utc>,
    pub(super) customer_type: CustomerType,
    pub(super) destination: Option<Destination>,
    pub(super) lines: Vec<LineToPrice>,
    /// The discounts that the customer gets.
    pub(super) discounts: Vec<Discount>,
    pub(super) tax_mode: TaxMode,
    pub(super) rates: Vec<(RateClass, Rate)>,
}

impl Price {
    /// Computes the price again from what it says itself, without the rules of the shop.
    ///
    /// # Errors
    /// [`PricingError`] if the price is not one that [`super::OrderPricing`] made.
    pub fn again(&self) -> Result<Self, PricingError> {
        let line = |line: &PricedLine| LineToPrice {
            line_id: line.line_id,
            rate_class: line.rate_class,
            list: line.list,
        };
        compute(&Basis {
            priced_at: self.priced_at,
            customer_type: self.customer_type,
            destination: self.destination.clone(),
            lines: self.lines.iter().map(line).collect(),
            discounts: self.discounts.iter().map(|used| used.rule.clone()).collect(),
            tax_mode: self.tax_mode,
            rates: self.taxes.iter().map(|tax| (tax.rate_class, tax.rate)).collect(),
        })
    }
}

/// Computes a price.
pub(super) fn compute(basis: &Basis) -> Result<Price, PricingError> {
    let zero = Money::zero(basis.lines.first().ok_or(PricingError::NoLines)?.list.currency());
    let list = sum(zero, basis.lines.iter().map(|line| line.list))?;
    let mut remaining: Vec<Money> = basis.lines.iter().map(|line| line.list).collect();
    let discounts = take_off(&basis.discounts, zero, &mut remaining)?;
    let taxes = taxes(basis, zero, &remaining)?;
    let lines = basis.lines.iter().zip(&remaining).map(|(line, remaining)| {
        let LineToPrice { line_id, rate_class, list } = *line;
        Ok(PricedLine { line_id, rate_class, list, discount: list.minus(*remaining)? })
    });
    let lines = lines.collect::<Result<_, MoneyError>>()?;
    let tax = sum(zero, taxes.iter().map(|tax| tax.amount))?;
    let goods = sum(zero, remaining)?;
    Ok(Price {
        priced_at: basis.priced_at,
        customer_type: basis.customer_type,
        destination: basis.destination.clone(),
        lines,
        discount: list.minus(goods)?,
        discounts,
        tax_mode: basis.tax_mode,
        taxes,
        list,
        tax,
        total: match basis.tax_mode {
            TaxMode::Exclusive => goods.plus(tax)?,
            TaxMode::Inclusive => goods,
        },
    })
}

/// Takes the discounts off what remains of each line, percentages first.
fn take_off(
    discounts: &[Discount],
    zero: Money,
    remaining: &mut [Money],
) -> Result<Vec<UsedDiscount>, MoneyError> {
    let mut used = Vec::new();
    let (percentages, amounts): (Vec<_>, Vec<_>) =
        discounts.iter().partition(|discount| discount.is_percentage());
    for rule in percentages.into_iter().chain(amounts) {
        let amount = rule.of(sum(zero, remaining.iter().copied())?)?;
        if amount == zero {
            continue;
        }
        let shares = amount.spread(remaining)?;
        for (line, share) in remaining.iter_mut().zip(shares) {
            *line = line.minus(share)?;
        }
        used.push(UsedDiscount { rule: rule.clone(), amount });
    }
    Ok(used)
}

/// The tax of each class, on the sum of what remains of its lines.
fn taxes(basis: &Basis, zero: Money, remaining: &[Money]) -> Result<Vec<Tax>, MoneyError> {
    let of = |(rate_class, rate): &(RateClass, Rate)| {
        let lines = basis.lines.iter().zip(remaining);
        let lines = lines.filter(|(line, _)| line.rate_class == *rate_class);
        let base = sum(zero, lines.map(|(_, remaining)| *remaining))?;
        let amount = match basis.tax_mode {
            TaxMode::Exclusive => base.at_rate(*rate)?,
            TaxMode::Inclusive => base.contained_at_rate(*rate)?,
        };
        Ok(Tax { rate_class: *rate_class, rate: *rate, base, amount })
    };
    basis.rates.iter().map(of).collect()
}

fn sum(zero: Money, amounts: impl IntoIterator<Item = Money>) -> Result<Money, MoneyError> {
    amounts.into_iter().try_fold(zero, Money::plus)
}
