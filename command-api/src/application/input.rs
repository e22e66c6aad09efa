//! Raw input: what a representation hands over, and how it is read.
//!
//! Input has the strings and numbers as a caller wrote them, under the names that every
//! representation gives its fields. Reading it collects all that is wrong, each with the path of
//! its field, so that a caller learns everything at once.

use service_kit::clock::SharedClock;

use super::error::CommandError;
use super::use_case::{EmailReservations, UseCase};

mod path;
mod value;

pub use path::{FieldPath, Step};
pub use value::InvalidValue;

/// What a use case is asked with. A use case without anything to read is its own input.
pub trait Input: Send {
    /// What it asks for.
    type UseCase: UseCase;

    /// Reads the values and makes the ids of what is new.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with all that is wrong, or a refusal.
    fn read(self, environment: &Environment) -> Result<Self::UseCase, CommandError>;
}

impl<U: UseCase> Input for U {
    type UseCase = Self;

    fn read(self, _: &Environment) -> Result<Self, CommandError> {
        Ok(self)
    }
}

/// What input is read with, besides itself.
#[derive(Clone)]
pub struct Environment {
    /// How e-mail addresses are reserved.
    pub reservations: EmailReservations,
    /// Tells the time.
    pub clock: SharedClock,
    /// Whether orders with prices and dates of their own are taken.
    pub order_import: bool,
}

/// A field of the input that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Where it is.
    pub at: FieldPath,
    /// What is wrong with it.
    pub reason: InvalidValue,
}

/// All that is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the input is not valid: {}", listed(.0))]
pub struct InvalidInput(Vec<InvalidField>);

fn listed(fields: &[InvalidField]) -> String {
    let fields = fields.iter().map(|InvalidField { at, reason }| format!("{at}: {reason}"));
    fields.collect::<Vec<_>>().join("; ")
}

impl InvalidInput {
    /// One field is not valid.
    pub fn field(at: impl Into<FieldPath>, reason: impl Into<InvalidValue>) -> Self {
        Self(vec![InvalidField { at: at.into(), reason: reason.into() }])
    }

    /// The fields that are not valid, in the order in which they were read.
    pub fn fields(&self) -> &[InvalidField] {
        &self.0
    }
}

/// Reads one field after the other, and keeps what is wrong with them.
#[derive(Debug, Default)]
pub struct Fields {
    wrong: Vec<InvalidField>,
}

impl Fields {
    /// The value of a field, unless it is not valid.
    pub fn value<T, E: Into<InvalidValue>>(
        &mut self,
        at: impl Into<FieldPath>,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|reason| self.refuse(at, reason)).ok()
    }

    /// Notes that a field is not valid.
    pub fn refuse(&mut self, at: impl Into<FieldPath>, reason: impl Into<InvalidValue>) {
        self.wrong.push(InvalidField { at: at.into(), reason: reason.into() });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn check(self) -> Result<(), InvalidInput> {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }

    /// All that is wrong, for who misses a value.
    pub fn invalid(self) -> InvalidInput {
        InvalidInput(self.wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use domain::value::{NameError, QuantityError};

    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_with_its_place_and_in_the_order_of_reading() {
        let mut fields = Fields::default();
        assert_eq!(fields.value("email", Ok::<_, NameError>(1)), Some(1));
        assert_eq!(fields.value("name", Err::<(), _>(NameError::Empty)), None);
        assert_eq!(fields.value(("lines", 3, "quantity"), Err::<(), _>(QuantityError)), None);
        fields.refuse(FieldPath::whole(), InvalidValue::PriceMissing);
        let invalid = fields.check().unwrap_err();
        let places: Vec<_> = invalid.fields().iter().map(|field| field.at.to_string()).collect();
        assert_eq!(places, ["name", "lines[3].quantity", "input"]);
        assert_eq!(invalid.fields()[0].reason, NameError::Empty.into());
        assert!(invalid.to_string().starts_with("the input is not valid: name: the name has no"));
        assert_eq!(Fields::default().check(), Ok(()));
    }
}
