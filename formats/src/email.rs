//! E-mail addresses: which texts are one, and when two of them are the same address.

use std::fmt;

/// Longest address, in characters.
pub const MAX_LEN: usize = 254;
const MAX_LOCAL_LEN: usize = 64;
const MAX_LABEL_LEN: usize = 63;
/// What RFC 5322 lets stand in an unquoted local part besides letters and digits.
const LOCAL_SPECIALS: &[u8] = b"!#$%&'*+-/=?^_`{|}~.";

/// What [`check`] takes, as a regular expression of JSON Schema. The length is said apart.
pub const PATTERN: &str = concat!(
    r"^(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*",
    r"@[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*$",
);

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailError {
    /// Longer than mail systems deliver to.
    TooLong,
    /// Not of the form `local@domain`.
    Malformed,
}

/// Whether the text is a plain ASCII address, `local@domain`.
///
/// # Errors
/// [`EmailError`].
pub fn check(text: &str) -> Result<(), EmailError> {
    if text.len() > MAX_LEN {
        return Err(EmailError::TooLong);
    }
    let (local, domain) = text.split_once('@').ok_or(EmailError::Malformed)?;
    if local_ok(local) && domain_ok(domain) { Ok(()) } else { Err(EmailError::Malformed) }
}

/// The form in which two texts are the same address: letters of any case are one, as every large
/// mail system treats them. Whatever compares addresses compares these.
///
/// ```
/// # use formats::email::normalised;
/// assert_eq!(normalised("Ada@Example.com"), normalised("ada@example.COM"));
/// ```
pub fn normalised(address: &str) -> String {
    address.to_ascii_lowercase()
}

fn local_ok(local: &str) -> bool {
    (1..=MAX_LOCAL_LEN).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || LOCAL_SPECIALS.contains(&b))
        && local.split('.').all(|atom| !atom.is_empty())
}

fn domain_ok(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=MAX_LABEL_LEN).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

impl fmt::Display for EmailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the e-mail address is longer than {MAX_LEN} characters"),
            Self::Malformed => f.write_str("the text is not an e-mail address"),
        }
    }
}

impl std::error::Error for EmailError {}
