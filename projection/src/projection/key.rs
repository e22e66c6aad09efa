//! The text form of a row's key, used on the command line, in reports and in SQL: the columns of
//! the primary key joined by `/`.

use std::hash::Hash;

use chrono::NaiveDate;
use postgres_kit::macros::PgArguments;
use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use uuid::Uuid;

/// The key of a row. Its text must equal SQL's text of the primary key's columns, in order, joined
/// by `/`. So both sides agree on whether a key is in a sample.
pub trait RowKey: Clone + Eq + Ord + Hash + Send + Sync + 'static {
    /// Formats the key as text.
    fn text(&self) -> String;

    /// Parses the output of [`RowKey::text`]; `None` if it is not such a key.
    fn parse(text: &str) -> Option<Self>;

    /// Adds many keys to a statement's arguments: one array per column.
    ///
    /// # Errors
    /// A value cannot be encoded.
    fn bind<'k>(
        keys: impl Iterator<Item = &'k Self> + Clone,
        to: &mut PgArguments,
    ) -> Result<(), BoxDynError>;
}

impl RowKey for Uuid {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn bind<'k>(
        keys: impl Iterator<Item = &'k Self> + Clone,
        to: &mut PgArguments,
    ) -> Result<(), BoxDynError> {
        to.add(keys.collect::<Vec<_>>())
    }
}

impl RowKey for String {
    fn text(&self) -> String {
        self.clone()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn bind<'k>(
        keys: impl Iterator<Item = &'k Self> + Clone,
        to: &mut PgArguments,
    ) -> Result<(), BoxDynError> {
        to.add(keys.collect::<Vec<_>>())
    }
}

impl RowKey for NaiveDate {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn bind<'k>(
        keys: impl Iterator<Item = &'k Self> + Clone,
        to: &mut PgArguments,
    ) -> Result<(), BoxDynError> {
        to.add(keys.collect::<Vec<_>>())
    }
}

/// The text of the first key must not contain a `/`.
impl<A: RowKey, B: RowKey> RowKey for (A, B) {
    fn text(&self) -> String {
        format!("{}/{}", self.0.text(), self.1.text())
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('/')?;
        Some((A::parse(first)?, B::parse(second)?))
    }

    fn bind<'k>(
        keys: impl Iterator<Item = &'k Self> + Clone,
        to: &mut PgArguments,
    ) -> Result<(), BoxDynError> {
        A::bind(keys.clone().map(|(first, _)| first), to)?;
        B::bind(keys.map(|(_, second)| second), to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_reads_what_it_writes() {
        let id = Uuid::from_u128(7);
        assert_eq!(Uuid::parse(&id.text()), Some(id));
        let day = ("1997-01-02".parse::<NaiveDate>().unwrap(), "EUR".to_owned());
        assert_eq!(day.text(), "1997-01-02/EUR");
        assert_eq!(<(NaiveDate, String)>::parse(&day.text()), Some(day));
        assert_eq!(<(NaiveDate, String)>::parse("1997-01-02"), None);
    }
}
