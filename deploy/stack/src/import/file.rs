//! Parses the file: one purchase per line, with fields separated by blanks. The fields are the
//! customer's full id, sample id (absent in the full file), date as YYYYMMDD, number of CDs, and US
//! dollars. Amounts are never floats.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use chrono::NaiveDate;

const FIELDS_WITH_SAMPLE_ID: usize = 5;
const FIELDS_WITHOUT: usize = 4;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// The customer's full id, as written.
    pub customer: String,
    /// The day of the purchase.
    pub date: NaiveDate,
    /// The number of CDs; at least one.
    pub units: i64,
    /// The total price in cents; 0 for a free order.
    pub cents: i64,
    /// The index of this line among identical lines, starting at 0.
    pub ordinal: u32,
}

impl Purchase {
    /// The idempotency key of one step of this purchase. It is the same for a line in every run,
    /// and differs between any two lines of a file.
    pub fn key(&self, step: &str) -> String {
        let Purchase { customer, date, units, cents, ordinal } = self;
        format!("cdnow/{customer}/{}/{units}/{cents}/{ordinal}/{step}", date.format("%Y%m%d"))
    }
}

/// The purchases of a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Each customer's purchases, in file order.
    pub customers: BTreeMap<String, Vec<Purchase>>,
}

impl History {
    /// Parses a file's text.
    pub fn parse(text: &str) -> anyhow::Result<History> {
        let mut customers: BTreeMap<String, Vec<Purchase>> = BTreeMap::new();
        let mut equal_lines: HashMap<(String, NaiveDate, i64, i64), u32> = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut purchase = parse_line(line)
                .with_context(|| format!("line {}: {:?}", index + 1, line.trim()))?;
            let seen = equal_lines
                .entry((purchase.customer.clone(), purchase.date, purchase.units, purchase.cents))
                .or_default();
            purchase.ordinal = *seen;
            *seen += 1;
            customers.entry(purchase.customer.clone()).or_default().push(purchase);
        }
        anyhow::ensure!(!customers.is_empty(), "the file has no purchases");
        Ok(History { customers })
    }

    /// All purchases.
    pub fn purchases(&self) -> impl Iterator<Item = &Purchase> {
        self.customers.values().flatten()
    }
}

fn parse_line(line: &str) -> anyhow::Result<Purchase> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (customer, [date, units, amount]) = match fields.as_slice() {
        [customer, _sample_id, date, units, amount] => (customer, [date, units, amount]),
        [customer, date, units, amount] => (customer, [date, units, amount]),
        other => anyhow::bail!(
            "expected {FIELDS_WITH_SAMPLE_ID} fields (or {FIELDS_WITHOUT}), found {}",
            other.len()
        ),
    };
    anyhow::ensure!(
        customer.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "a customer's id must have only letters and digits"
    );
    let date = NaiveDate::parse_from_str(date, "%Y%m%d").context("the date is not YYYYMMDD")?;
    let units: i64 = units.parse().context("the number of CDs is not a number")?;
    anyhow::ensure!(units >= 1, "a purchase has at least one CD");
    let cents = parse_cents(amount).context("the amount is not dollars and cents")?;
    Ok(Purchase { customer: (*customer).to_owned(), date, units, cents, ordinal: 0 })
}

/// Parses `29.33` as 2933. It allows up to two decimals and no sign.
fn parse_cents(text: &str) -> Option<i64> {
    let (dollars, cents) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(dollars) || !digits(cents) || cents.len() > 2 {
        return None;
    }
    let fraction: i64 = format!("{cents:0<2}").parse().ok()?;
    dollars.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{History, parse_cents};

    #[test]
    fn amounts_are_read_to_the_cent() {
        let cases = [
            ("29.33", Some(2933)),
            ("0.00", Some(0)),
            ("7", Some(700)),
            ("7.5", Some(750)),
            ("-1.00", None),
            ("1.234", None),
            (".5", None),
            ("1.", None),
        ];
        for (text, cents) in cases {
            assert_eq!(parse_cents(text), cents, "{text}");
        }
    }

    #[test]
    fn equal_lines_have_keys_of_their_own_and_different_files_share_them() {
        let twice = History::parse(
            " 00004 0001 19970101  2   29.33\r\n 00004 0001 19970101  2   29.33\r\n",
        )
        .unwrap();
        let keys: Vec<String> = twice.purchases().map(|purchase| purchase.key("place")).collect();
        assert_eq!(
            keys,
            ["cdnow/00004/19970101/2/2933/0/place", "cdnow/00004/19970101/2/2933/1/place"]
        );
        let full_file = History::parse("00004 19970101 2 29.33\n").unwrap();
        assert_eq!(full_file.purchases().next().unwrap().key("place"), keys[0]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = format!(
            "{:#}",
            History::parse("00004 19970101 2 29.33\n00004 19970199 2 29.33\n").unwrap_err()
        );
        assert!(error.starts_with("line 2:") && error.contains("YYYYMMDD"), "{error}");
        assert!(History::parse("00004 19970101 0 1.00").is_err());
    }
}
