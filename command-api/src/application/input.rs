//! Turns what a body says into values, and collects all that is wrong with it, each with its
//! pointer.

use chrono::{DateTime, TimeZone, Utc};
use domain::order::MAX_LINES;
use domain::product::MAX_STOCK;
use domain::value::{
    Currency, Email, EmailError, Money, NameError, PersonName, ProductName, Quantity,
};
use service_kit::input::{Integer, Time};
use service_kit::{FieldError, Problem};

use crate::http::error::money;

/// The first year that an imported order can be from.
const EARLIEST_YEAR: i32 = 1900;

/// What is wrong with a body, so far.
#[derive(Default)]
pub(crate) struct Input {
    errors: Vec<FieldError>,
}

impl Input {
    /// All that is wrong, as one problem.
    pub(crate) fn problem(self) -> Problem {
        Problem::invalid(self.errors)
    }

    /// Nothing is wrong.
    ///
    /// # Errors
    /// All that is wrong, as one problem.
    pub(crate) fn check(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.problem()) }
    }

    /// Notes that something is wrong.
    pub(crate) fn wrong(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) {
        self.errors.push(FieldError::new(pointer, code, detail));
    }

    pub(crate) fn email(&mut self, pointer: &str, text: &str) -> Option<Email> {
        let code = |error: &EmailError| match error {
            EmailError::TooLong => "email/too-long",
            EmailError::Malformed => "email/malformed",
        };
        Email::parse(text)
            .map_err(|error| self.wrong(pointer, code(&error), error.to_string()))
            .ok()
    }

    pub(crate) fn person_name(&mut self, pointer: &str, text: &str) -> Option<PersonName> {
        PersonName::parse(text)
            .map_err(|error| self.wrong(pointer, name_code(error), error.to_string()))
            .ok()
    }

    pub(crate) fn product_name(&mut self, pointer: &str, text: &str) -> Option<ProductName> {
        ProductName::parse(text)
            .map_err(|error| self.wrong(pointer, name_code(error), error.to_string()))
            .ok()
    }

    pub(crate) fn quantity(&mut self, pointer: String, number: Integer) -> Option<Quantity> {
        Quantity::try_from(number.get())
            .map_err(|error| self.wrong(pointer, "quantity/out-of-range", error.to_string()))
            .ok()
    }

    /// The currency of an amount from any time.
    pub(crate) fn currency(&mut self, pointer: &str, code: &str) -> Option<Currency> {
        code.parse().map_err(|error| self.errors.push(money(pointer, error))).ok()
    }

    /// The currency of a new price.
    pub(crate) fn currency_of_today(&mut self, pointer: &str, code: &str) -> Option<Currency> {
        let currency = self.currency(pointer, code)?;
        currency.for_new_prices().map_err(|error| self.errors.push(money(pointer, error))).ok()
    }

    pub(crate) fn money(
        &mut self,
        pointer: impl Into<String>,
        text: &str,
        currency: Currency,
    ) -> Option<Money> {
        Money::parse(text, currency).map_err(|error| self.errors.push(money(pointer, error))).ok()
    }

    pub(crate) fn stock(&mut self, pointer: &str, number: Integer) -> Option<i64> {
        let number = number.get();
        if (0..=MAX_STOCK).contains(&number) {
            return Some(number);
        }
        self.wrong(
            pointer,
            "stock/out-of-range",
            format!("the stock is not between 0 and {MAX_STOCK}"),
        );
        None
    }

    /// How many lines an order may be placed with.
    pub(crate) fn line_count(&mut self, count: usize) {
        if count == 0 {
            self.wrong("/lines", "too-few", "an order is placed with at least one line");
        } else if count > MAX_LINES {
            self.wrong("/lines", "too-many", format!("an order has at most {MAX_LINES} lines"));
        }
    }

    /// The date of an imported order.
    pub(crate) fn ordered_at(
        &mut self,
        pointer: &str,
        at: Time,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let at = at.get();
        let earliest = Utc.with_ymd_and_hms(EARLIEST_YEAR, 1, 1, 0, 0, 0).single();
        if at > now {
            self.wrong(pointer, "in-the-future", "an order cannot be from the future");
            None
        } else if earliest.is_some_and(|earliest| at < earliest) {
            self.wrong(
                pointer,
                "too-early",
                format!("an order cannot be from before {EARLIEST_YEAR}"),
            );
            None
        } else {
            Some(at)
        }
    }
}

const fn name_code(error: NameError) -> &'static str {
    match error {
        NameError::Empty => "name/empty",
        NameError::TooLong => "name/too-long",
        NameError::ControlCharacter => "name/control-character",
        NameError::DirectionOverride => "name/direction-override",
    }
}
