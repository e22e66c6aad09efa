//! Amounts of money.

use async_graphql::SimpleObject;

use crate::read::user::SumsMinor;
use crate::view::money::decimal;

/// An amount of money.
#[derive(SimpleObject)]
pub(super) struct Money {
    /// The amount, as a decimal number with all decimals of the currency: `14.67`.
    amount: String,
    /// The code of the currency (ISO 4217).
    currency: String,
}

impl Money {
    /// The amount of these minor units.
    pub(super) fn of(minor: i64, currency: &str) -> Self {
        Self { amount: decimal(minor, currency), currency: currency.to_owned() }
    }

    /// Sums by currency, in the order of their codes.
    pub(super) fn sums(sums: &SumsMinor) -> Vec<Self> {
        sums.iter().map(|(currency, minor)| Self::of(*minor, currency)).collect()
    }
}
