//! Raw input: the values that a representation hands over, and how they are read.
//!
//! Input has strings and numbers as the caller wrote them, under field names that all
//! representations share. Reading collects every error with the path of its field, so the caller
//! learns all of them at once.

use domain::user::Change;
use service_kit::clock::SharedClock;

use super::error::CommandError;
use super::use_case::{EmailReservations, UseCase};

mod empty_change;
mod new_id;
mod path;
mod value;

pub use empty_change::EmptyChange;
pub use new_id::NewId;
pub use path::{FieldPath, Step};
pub use value::InvalidValue;

/// The input of a use case. A use case with nothing to read is its own input.
pub trait Input: Send {
    /// The use case that the input asks for.
    type UseCase: UseCase;

    /// Reads the values and makes ids for new things.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with everything that is wrong, or a refusal.
    fn read(self, environment: &Environment) -> Result<Self::UseCase, CommandError>;
}

impl<U: UseCase> Input for U {
    type UseCase = Self;

    fn read(self, _: &Environment) -> Result<Self, CommandError> {
        Ok(self)
    }
}

/// The settings and services that reading input needs.
#[derive(Clone)]
pub struct Environment {
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
    /// The source of the current time.
    pub clock: SharedClock,
    /// Whether orders can be imported with their original prices and dates.
    pub order_import: bool,
}

/// An invalid field of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// The path of the field.
    pub at: FieldPath,
    /// Why its value is invalid.
    pub reason: InvalidValue,
}

/// All invalid fields of an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the input is not valid: {}", listed(.0))]
pub struct InvalidInput(Vec<InvalidField>);

fn listed(fields: &[InvalidField]) -> String {
    let fields = fields.iter().map(|InvalidField { at, reason }| format!("{at}: {reason}"));
    fields.collect::<Vec<_>>().join("; ")
}

impl InvalidInput {
    /// An error for one invalid field.
    pub fn field(at: impl Into<FieldPath>, reason: impl Into<InvalidValue>) -> Self {
        Self(vec![InvalidField { at: at.into(), reason: reason.into() }])
    }

    /// The invalid fields, in the order in which they were read.
    pub fn fields(&self) -> &[InvalidField] {
        &self.0
    }
}

/// Reads one field after the other, and collects the errors.
#[derive(Debug, Default)]
pub struct Fields {
    wrong: Vec<InvalidField>,
}

impl Fields {
    /// Returns the value of a field, or notes that it is invalid.
    pub fn value<T, E: Into<InvalidValue>>(
        &mut self,
        at: impl Into<FieldPath>,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|reason| self.refuse(at, reason)).ok()
    }

    /// Reads the change of the field `name` in the object `of`. A value that is invalid is noted.
    pub fn change<T, E: Into<InvalidValue>>(
        &mut self,
        of: &'static str,
        name: &'static str,
        change: &Change<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Change<T> {
        match change {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(text) => {
                self.value((of, name), parse(text)).map_or(Change::Keep, Change::Set)
            }
        }
    }

    /// Notes that a field is invalid.
    pub fn refuse(&mut self, at: impl Into<FieldPath>, reason: impl Into<InvalidValue>) {
        self.wrong.push(InvalidField { at: at.into(), reason: reason.into() });
    }

    /// Finishes reading, and reports the collected errors.
    ///
    /// # Errors
    /// All invalid fields, if there are any.
    pub fn check(self) -> Result<(), InvalidInput> {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }

    /// All invalid fields, for a caller that lacks a value.
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
