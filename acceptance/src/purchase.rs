//! Reads a purchase history in the CDNOW file's format, independently of the importer, and computes
//! the expected results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use rand::SeedableRng;
use rand::seq::SliceRandom;

/// The purchases of some customers, line by line as in the file.
#[derive(Debug, Clone)]
pub struct Purchases {
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    text: String,
    customer: String,
    day: NaiveDate,
    units: i64,
    cents: i64,
}

/// The totals of a customer's purchases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Customer {
    /// The number of purchases.
    pub orders: i64,
    /// The amount in cents.
    pub cents: i64,
    /// The day of the last purchase.
    pub last: NaiveDate,
}

/// The totals of a day's purchases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Day {
    /// The number of purchases.
    pub orders: i64,
    /// The number of discs.
    pub units: i64,
    /// The amount in cents.
    pub cents: i64,
}

impl Purchases {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Purchases> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let lines: Result<Vec<Line>> =
            lines.map(|line| Line::parse(line).with_context(|| format!("{line:?}"))).collect();
        Ok(Purchases { lines: lines? })
    }

    /// Selects the purchases of `count` customers, chosen by the seed, in file order. Returns all
    /// purchases if there are no more customers.
    #[must_use]
    pub fn of_customers(&self, count: usize, seed: u64) -> Purchases {
        let mut chosen: Vec<String> = self.customers().into_keys().collect();
        if count < chosen.len() {
            chosen.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
            chosen.truncate(count);
        }
        self.only(&chosen)
    }

    /// Divides the purchases into `count` shares by customer.
    pub fn shares(&self, count: usize) -> Vec<Purchases> {
        let customers: Vec<String> = self.customers().into_keys().collect();
        customers
            .chunks(customers.len().div_ceil(count).max(1))
            .map(|share| self.only(share))
            .collect()
    }

    fn only(&self, customers: &[String]) -> Purchases {
        let chosen: std::collections::HashSet<&String> = customers.iter().collect();
        Purchases {
            lines: self
                .lines
                .iter()
                .filter(|line| chosen.contains(&line.customer))
                .cloned()
                .collect(),
        }
    }

    /// Writes the purchases to a file, with the original's line ends.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.lines.iter().fold(String::new(), |mut text, line| {
            // Writing into a String cannot fail.
            let _written = write!(text, "{}\r\n", line.text);
            text
        });
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The number of purchases.
    pub fn orders(&self) -> usize {
        self.lines.len()
    }

    /// The totals of each customer, by the email address that the importer assigns.
    pub fn customers_by_email(&self) -> BTreeMap<String, Customer> {
        self.customers()
            .into_iter()
            .map(|(id, customer)| (format!("cdnow-{id}@example.com"), customer))
            .collect()
    }

    fn customers(&self) -> BTreeMap<String, Customer> {
        let mut customers = BTreeMap::<String, Customer>::new();
        for line in &self.lines {
            let first = Customer { last: line.day, ..Customer::default() };
            let customer = customers.entry(line.customer.clone()).or_insert(first);
            customer.orders += 1;
            customer.cents += line.cents;
            customer.last = customer.last.max(line.day);
        }
        customers
    }

    /// The totals of each day.
    pub fn days(&self) -> BTreeMap<NaiveDate, Day> {
        let mut days = BTreeMap::<NaiveDate, Day>::new();
        for line in &self.lines {
            let day = days.entry(line.day).or_default();
            day.orders += 1;
            day.units += line.units;
            day.cents += line.cents;
        }
        days
    }
}

impl Line {
    fn parse(text: &str) -> Result<Line> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [customer, _, day, units, dollars] = fields.as_slice() else {
            anyhow::bail!("expected five fields")
        };
        Ok(Line {
            text: text.trim_end_matches('\r').to_owned(),
            customer: (*customer).to_owned(),
            day: NaiveDate::parse_from_str(day, "%Y%m%d")?,
            units: units.parse()?,
            cents: cents(dollars)?,
        })
    }
}

/// Converts an amount with two decimals to cents.
pub(crate) fn cents(text: &str) -> Result<i64> {
    let (whole, cents) =
        text.split_once('.').with_context(|| format!("{text:?} has no decimal point"))?;
    anyhow::ensure!(cents.len() == 2, "{text:?} has not two decimals");
    Ok(whole.parse::<i64>()? * 100 + cents.parse::<i64>()?)
}
