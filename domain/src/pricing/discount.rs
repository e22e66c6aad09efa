//! Discount rules.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PricingRuleError;
use crate::value::{CustomerType, Money, MoneyError, Rate, time};

/// A rule that takes something off the price of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discount {
    /// The id of the rule.
    pub discount_id: Uuid,
    /// What it takes off.
    pub off: Off,
    /// The only type of customers that it is for, or `None` if it is for all.
    pub customer_type: Option<CustomerType>,
    /// When it is valid.
    pub valid: Period,
}

/// What a discount takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// A share of what remains, rounded half a minor unit up.
    Percent(Rate),
    /// An amount, or what remains if that is less. Orders in other currencies get nothing off.
    Amount(Money),
}

/// A time span. It contains its begin and not its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// When it begins, or `None` if it has no begin.
    #[serde(deserialize_with = "time::read_option")]
    from: Option<DateTime<Utc>>,
    /// When it ends, or `None` if it has no end.
    #[serde(deserialize_with = "time::read_option")]
    until: Option<DateTime<Utc>>,
}

impl Period {
    /// The time from `from` to before `until`. Without a bound it has no begin, or no end.
    ///
    /// # Errors
    /// [`PricingRuleError::EmptyPeriod`] if it would contain no time.
    pub fn new(
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Self, PricingRuleError> {
        match (from, until) {
            (Some(from), Some(until)) if from >= until => Err(PricingRuleError::EmptyPeriod),
            _ => Ok(Self { from, until }),
        }
    }

    /// Whether `at` is in the period.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

impl Discount {
    /// Whether a customer of this type gets the discount at this time.
    pub fn is_for(&self, customer_type: CustomerType, at: DateTime<Utc>) -> bool {
        self.customer_type.is_none_or(|only| only == customer_type) && self.valid.contains(at)
    }

    /// The amount that it takes off what remains of an order.
    pub(super) fn of(&self, remaining: Money) -> Result<Money, MoneyError> {
        match self.off {
            Off::Percent(rate) => remaining.at_rate(rate),
            Off::Amount(amount) if amount.currency() != remaining.currency() => {
                Ok(Money::zero(remaining.currency()))
            }
            Off::Amount(amount) if amount.minor() > remaining.minor() => Ok(remaining),
            Off::Amount(amount) => Ok(amount),
        }
    }

    /// Whether it takes off a share. Shares come before amounts.
    pub(super) const fn is_percentage(&self) -> bool {
        matches!(self.off, Off::Percent(_))
    }
}
