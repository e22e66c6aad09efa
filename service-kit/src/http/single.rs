//! Headers that have one value: two of them contradict each other, and the first must not win.

use axum::http::{HeaderMap, HeaderName};

/// Why a header that has one value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SingleError {
    /// It is there more than once.
    #[error("there are two of them")]
    Repeated,
    /// It has bytes that are not visible ASCII.
    #[error("it is not ASCII")]
    NotAscii,
}

/// The value of a header that may be absent but not repeated.
///
/// # Errors
/// [`SingleError`].
pub fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, SingleError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| SingleError::NotAscii),
        (Some(_), Some(_)) => Err(SingleError::Repeated),
    }
}
