//! Amounts of money.

use async_graphql::SimpleObject;
use graphql_kit::{AtOnce, Prompt};

use crate::read::user::SumsMinor;
use crate::view::money::decimal;

/// An amount of money.
pub(super) type Money = AtOnce<Amount>;

/// An amount of money.
#[derive(SimpleObject)]
#[graphql(name = "Money")]
pub(super) struct Amount {
    /// The amount, as a decimal number with all decimals of the currency: `14.67`.
    amount: String,
    /// The code of the currency (ISO 4217).
    currency: String,
}

impl Prompt for Amount {}

/// The amount of these minor units.
pub(super) fn money(minor: i64, currency: &str) -> Money {
    AtOnce(Amount { amount: decimal(minor, currency), currency: currency.to_owned() })
}

/// Sums by currency, in the order of their codes.
pub(super) fn sums(sums: &SumsMinor) -> Vec<Money> {
    sums.iter().map(|(currency, minor)| money(*minor, currency)).collect()
}
