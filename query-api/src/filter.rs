//! Checks of the values that lists are filtered by, for every representation. Each error points to
//! the filter by its name.

use chrono::NaiveDate;
use formats::Currency;
use formats::email::{self, EmailError};
use service_kit::FieldError;

/// Checks an e-mail address and returns it in the form that it is compared in.
///
/// # Errors
/// The text is no address.
pub(crate) fn email(given: &str) -> Result<String, FieldError> {
    let code = |error: EmailError| match error {
        EmailError::TooLong => "email/too-long",
        EmailError::Malformed => "email/malformed",
    };
    match email::check(given) {
        Ok(()) => Ok(email::normalised(given)),
        Err(error) => Err(FieldError::new("/email", code(error), error.to_string())),
    }
}

/// Checks the code of a currency.
///
/// # Errors
/// There never was such a currency.
pub(crate) fn currency(code: &str) -> Result<(), FieldError> {
    match Currency::from_code(code) {
        Ok(_) => Ok(()),
        Err(unknown) => Err(FieldError::new("/currency", "currency/unknown", unknown.to_string())),
    }
}

/// Checks the first and the last day of a period.
///
/// # Errors
/// The last one comes before the first one.
pub(crate) fn days(from: Option<NaiveDate>, to: Option<NaiveDate>) -> Result<(), FieldError> {
    if from.is_some_and(|from| to.is_some_and(|to| to < from)) {
        return Err(FieldError::new("/to", "contradicts-from", "the day is before that of `from`"));
    }
    Ok(())
}
