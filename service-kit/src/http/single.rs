//! Headers with a single value. A repeated one is refused, because its values contradict each
//! other.

use axum::http::{HeaderMap, HeaderName};

/// Why a single-valued header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SingleError {
    /// The header is repeated.
    #[error("the header is repeated")]
    Repeated,
    /// The value contains bytes that are not visible ASCII.
    #[error("the header is not ASCII")]
    NotAscii,
}

/// Reads a header that may be absent but not repeated.
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
