//! Currencies: their codes, and the number of decimals of an amount in each.
//!
//! The table is frozen, because stored amounts are in minor units. A code never leaves the table
//! and its exponent never changes, so an old event keeps its meaning for ever. A code that ISO
//! withdraws is only marked as withdrawn.

use std::fmt;

mod table;

use table::TABLE;

/// A currency with minor units that ISO 4217 lists now or listed once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(u16);

/// The error for a code that is not a currency with minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCurrency;

impl Currency {
    /// All currencies, sorted by code, including withdrawn ones.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).zip(TABLE).map(|(index, _)| Self(index))
    }

    /// The currencies on the current ISO list, sorted by code.
    pub fn of_today() -> impl Iterator<Item = Self> {
        Self::all().filter(|currency| !currency.is_withdrawn())
    }

    /// The currency with this code of three upper-case letters.
    ///
    /// # Errors
    /// [`UnknownCurrency`] if the code is not in the table.
    pub fn from_code(code: &str) -> Result<Self, UnknownCurrency> {
        let index =
            TABLE.binary_search_by_key(&code, |entry| entry.0).map_err(|_| UnknownCurrency)?;
        u16::try_from(index).map(Self).map_err(|_| UnknownCurrency)
    }

    /// The code: three upper-case letters.
    pub fn code(self) -> &'static str {
        TABLE[usize::from(self.0)].0
    }

    /// The number of decimals of an amount: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        u32::from(TABLE[usize::from(self.0)].1)
    }

    /// Whether ISO has withdrawn the currency. Old amounts may be in it, new prices may not.
    pub fn is_withdrawn(self) -> bool {
        TABLE[usize::from(self.0)].2
    }

    /// Formats minor units as a decimal string with all decimals of the currency.
    ///
    /// 1467 US cents are `14.67`.
    ///
    /// ```
    /// # use formats::Currency;
    /// assert_eq!(Currency::from_code("USD").unwrap().decimal(-5), "-0.05");
    /// assert_eq!(Currency::from_code("JPY").unwrap().decimal(500), "500");
    /// ```
    pub fn decimal(self, minor: i64) -> String {
        let places = usize::try_from(self.exponent()).unwrap_or(0);
        // A page has hundreds of amounts, and formatting with padding would take most of its time.
        let digits = minor.unsigned_abs().to_string();
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
        let mut text = String::with_capacity(digits.len() + places + "-0.".len());
        if minor < 0 {
            text.push('-');
        }
        text.push_str(if whole.is_empty() { "0" } else { whole });
        if places > 0 {
            text.push('.');
            text.extend(std::iter::repeat_n('0', places - fraction.len()));
            text.push_str(fraction);
        }
        text
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({})", self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for UnknownCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the currency is not an ISO 4217 code that amounts can be given in")
    }
}

impl std::error::Error for UnknownCurrency {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The code and exponent of every currency that stored amounts may use, one per line. A new
    /// code adds a line. Existing lines never change.
    const FROZEN: &str = include_str!("currency/frozen.txt");

    #[test]
    fn a_code_never_leaves_the_table_and_never_changes_its_exponent() {
        let table: Vec<String> =
            Currency::all().map(|currency| format!("{currency} {}", currency.exponent())).collect();
        let lost: Vec<&str> =
            FROZEN.lines().filter(|line| !table.iter().any(|found| found == line)).collect();
        assert!(lost.is_empty(), "stored amounts in these would change their meaning: {lost:?}");
        let new: Vec<&String> =
            table.iter().filter(|line| !FROZEN.lines().any(|frozen| frozen == *line)).collect();
        assert!(new.is_empty(), "add these to frozen.txt: {new:?}");
    }

    #[test]
    fn codes_are_sorted_so_that_each_is_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for currency in Currency::all() {
            assert_eq!(Currency::from_code(currency.code()), Ok(currency));
        }
        for code in ["XAU", "XXX", "XDR", "usd", "US", "EURO", "", "ZZZ"] {
            assert_eq!(Currency::from_code(code), Err(UnknownCurrency), "{code:?}");
        }
    }

    /// An independent list of ISO 4217. Amounts used to be read with it, so each of its codes must
    /// keep its exponent.
    #[test]
    fn another_list_of_iso_4217_agrees() {
        let letters = || (b'A'..=b'Z').map(char::from);
        let codes = letters().flat_map(|a| {
            letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}")))
        });
        for code in codes {
            let other = iso_currency::Currency::from_code(&code);
            let expected = other.and_then(|other| {
                Some((u32::from(other.exponent()?), other.is_superseded().is_some()))
            });
            let ours = Currency::from_code(&code).ok();
            match expected {
                // Still on the ISO list, next to its successor.
                Some(_) if code == "VES" => {
                    assert!(ours.is_some_and(|ours| ours.exponent() == 2 && !ours.is_withdrawn()));
                }
                Some(expected) => assert_eq!(
                    ours.map(|ours| (ours.exponent(), ours.is_withdrawn())),
                    Some(expected),
                    "{code}"
                ),
                None => assert!(
                    ours.is_none_or(Currency::is_withdrawn),
                    "{code} is on no list of today"
                ),
            }
        }
    }

    #[test]
    fn each_currency_has_its_own_number_of_decimals() {
        for (minor, code, text) in [
            (1467, "USD", "14.67"),
            (0, "USD", "0.00"),
            (5, "USD", "0.05"),
            (500, "JPY", "500"),
            (1, "KWD", "0.001"),
            (-250, "EUR", "-2.50"),
            (12_345, "DEM", "123.45"),
            (12_345, "ITL", "12345"),
            (i64::MAX, "USD", "92233720368547758.07"),
            (i64::MIN, "USD", "-92233720368547758.08"),
        ] {
            assert_eq!(Currency::from_code(code).unwrap().decimal(minor), text);
        }
    }
}
