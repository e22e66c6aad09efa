//! Money: integer minor units in an ISO 4217 currency. Amounts are never negative, never floats,
//! and currencies never mix.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::value::Quantity;

mod rounding;
#[cfg(test)]
mod tests;

/// A currency with minor units that ISO 4217 lists now or listed once.
///
/// Stored amounts may be in any of them for ever. A new price must be in a currency on the current
/// list ([`Currency::for_new_prices`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(formats::Currency);

/// An amount in minor units (cents) of a currency: `{"minor": 1467, "currency": "USD"}` in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "StoredMoney")]
pub struct Money {
    /// The amount in minor units, such as cents.
    #[schemars(range(min = 0, max = Money::MAX_MINOR))]
    minor: i64,
    /// The currency.
    currency: Currency,
}

/// Why an amount of money is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is not an ISO 4217 currency with minor units.
    #[error("the currency is not an ISO 4217 code that amounts can be given in")]
    UnknownCurrency,
    /// A new price is in a currency that ISO 4217 has withdrawn.
    #[error("{currency} is withdrawn: a new price takes a currency of today")]
    Withdrawn {
        /// The currency of the amount.
        currency: Currency,
    },
    /// The amount is negative.
    #[error("the amount is negative")]
    Negative,
    /// The text is not made of digits with at most one point between them.
    #[error("the amount is not a decimal number such as 14.67")]
    Malformed,
    /// The amount has more decimals than the currency.
    #[error("{currency} has {exponent} decimals, the amount has more")]
    TooPrecise {
        /// The currency of the amount.
        currency: Currency,
        /// The number of decimals of the currency.
        exponent: u32,
    },
    /// The amount is above [`Money::MAX_MINOR`].
    #[error("the amount is too large")]
    TooLarge,
    /// Two amounts in different currencies cannot be added.
    #[error("an amount in {left} does not add to one in {right}")]
    Mixed {
        /// The currency of the first amount.
        left: Currency,
        /// The currency of the second amount.
        right: Currency,
    },
}

impl Currency {
    /// Returns this currency if a new price may be in it.
    ///
    /// # Errors
    /// [`MoneyError::Withdrawn`] if ISO 4217 has withdrawn the currency.
    pub fn for_new_prices(self) -> Result<Self, MoneyError> {
        if self.0.is_withdrawn() { Err(MoneyError::Withdrawn { currency: self }) } else { Ok(self) }
    }

    /// The code: three upper-case letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The number of decimals of an amount: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.0.exponent()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::str::FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        formats::Currency::from_code(code).map(Self).map_err(|_| MoneyError::UnknownCurrency)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        code.parse()
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A currency with minor units that ISO 4217 lists now or listed once.",
            "type": "string",
            "pattern": "^[A-Z]{3}$",
        })
    }
}

#[derive(Deserialize, JsonSchema)]
struct StoredMoney {
    minor: i64,
    currency: Currency,
}

impl TryFrom<StoredMoney> for Money {
    type Error = MoneyError;

    fn try_from(stored: StoredMoney) -> Result<Self, MoneyError> {
        Self::from_minor(stored.minor, stored.currency)
    }
}

impl Money {
    /// The largest amount, in minor units. Every JSON reader represents it exactly, and the sum of
    /// thousands of such amounts fits into 64 bits.
    pub const MAX_MINOR: i64 = 1_000_000_000_000_000;

    /// Makes an amount from minor units.
    ///
    /// # Errors
    /// [`MoneyError::Negative`], or [`MoneyError::TooLarge`] above [`Money::MAX_MINOR`].
    pub const fn from_minor(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        match minor {
            i64::MIN..0 => Err(MoneyError::Negative),
            0..=Self::MAX_MINOR => Ok(Self { minor, currency }),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// The amount zero in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Parses a decimal string such as `14.67`. Missing decimals count as zeros.
    ///
    /// # Errors
    /// [`MoneyError`] says why the text is not an amount.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if let Some(rest) = text.strip_prefix('-') {
            let looks_like_a_number =
                rest.split_once('.').map_or_else(|| digits(rest), |(w, f)| digits(w) && digits(f));
            return Err(if looks_like_a_number {
                MoneyError::Negative
            } else {
                MoneyError::Malformed
            });
        }
        let (whole, fraction) =
            text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(MoneyError::Malformed);
        }
        let (fraction, exponent) = (fraction.unwrap_or_default(), currency.exponent());
        let missing =
            u32::try_from(fraction.len()).ok().and_then(|decimals| exponent.checked_sub(decimals));
        let missing = missing.ok_or(MoneyError::TooPrecise { currency, exponent })?;
        let minor = whole
            .bytes()
            .chain(fraction.bytes())
            .chain((0..missing).map(|_| b'0'))
            .try_fold(0_i64, |minor, digit| {
                minor
                    .checked_mul(10)?
                    .checked_add(i64::from(digit - b'0'))
                    .filter(|minor| *minor <= Self::MAX_MINOR)
            });
        Self::from_minor(minor.ok_or(MoneyError::TooLarge)?, currency)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency of the amount.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Formats the amount as a decimal string with all decimals of its currency, such as `14.67`.
    pub fn to_decimal(self) -> String {
        self.currency.0.decimal(self.minor)
    }

    /// Adds two amounts.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] if the currencies differ, [`MoneyError::TooLarge`] if the sum is above
    /// [`Money::MAX_MINOR`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed { left: self.currency, right: other.currency });
        }
        // Both are at most `MAX_MINOR`, so the addition itself cannot overflow.
        Self::from_minor(self.minor + other.minor, self.currency)
    }

    /// Multiplies the amount by a quantity.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`] if the product is above [`Money::MAX_MINOR`].
    pub fn times(self, quantity: Quantity) -> Result<Self, MoneyError> {
        let minor =
            self.minor.checked_mul(i64::from(quantity.get())).ok_or(MoneyError::TooLarge)?;
        Self::from_minor(minor, self.currency)
    }

    /// Splits the amount over `units` without losing a minor unit.
    ///
    /// The result has at most two prices, which differ by one minor unit. The higher price comes
    /// first. The units at both prices add up to `units`.
    pub fn allocate(self, units: Quantity) -> Allocation {
        let n = i64::from(units.get());
        let (each, left_over) = (self.minor / n, self.minor % n);
        let part = |count: i64, minor: i64| {
            let quantity = Quantity::try_from(count).ok()?;
            Some((quantity, Self { minor, currency: self.currency }))
        };
        Allocation { dearer: part(left_over, each + 1), cheaper: part(n - left_over, each) }
    }
}

/// An amount split over a number of units. See [`Money::allocate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    dearer: Option<(Quantity, Money)>,
    cheaper: Option<(Quantity, Money)>,
}

impl Allocation {
    /// The number of units at each price, higher price first. There is one part if the amount
    /// divides evenly, otherwise two.
    pub fn parts(self) -> impl Iterator<Item = (Quantity, Money)> {
        self.dearer.into_iter().chain(self.cheaper)
    }
}
