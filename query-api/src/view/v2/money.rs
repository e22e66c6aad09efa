//! Money in version 2 of the API: an amount with its currency, as the command API takes it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::read::user::SumsMinor;
use crate::view::money::decimal;

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Money {
    /// The amount, as a decimal number with all decimals of its currency.
    #[schema(example = "14.67")]
    amount: String,
    /// The currency code.
    #[schema(example = "USD")]
    currency: String,
}

impl Money {
    /// The money of an amount in minor units.
    pub(super) fn new(minor: i64, currency: &str) -> Self {
        Self { amount: decimal(minor, currency), currency: currency.to_owned() }
    }
}

/// Sums as a list with each currency once, sorted by its code.
pub(super) fn sums(sums: SumsMinor) -> Vec<Money> {
    let money =
        |(currency, minor): (String, i64)| Money { amount: decimal(minor, &currency), currency };
    sums.into_iter().map(money).collect()
}
