//! E-mail addresses: which texts are valid, and when two texts are the same address.

use std::fmt;

/// The maximum length of an address, in characters.
pub const MAX_LEN: usize = 254;
const MAX_LOCAL_LEN: usize = 64;
const MAX_LABEL_LEN: usize = 63;
/// The special characters that RFC 5322 allows in an unquoted local part.
const LOCAL_SPECIALS: &[u8] = b"!#$%&'*+-/=?^_`{|}~.";

/// What [`check`] accepts, as a regular expression for JSON Schema. It does not check the total
/// length.
pub const PATTERN: &str = concat!(
    r"^(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*",
    r"@[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*$",
);

/// Why a text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailError {
    /// The text is longer than [`MAX_LEN`]. Mail systems do not deliver to longer addresses.
    TooLong,
    /// The text does not have the form `local@domain`.
    Malformed,
}

/// Checks that the text is a plain ASCII address, `local@domain`.
///
/// # Errors
/// [`EmailError`] says why the text is not an address.
pub fn check(text: &str) -> Result<(), EmailError> {
    if text.len() > MAX_LEN {
        return Err(EmailError::TooLong);
    }
    let (local, domain) = text.split_once('@').ok_or(EmailError::Malformed)?;
    if local_ok(local) && domain_ok(domain) { Ok(()) } else { Err(EmailError::Malformed) }
}

/// The normalised form of an address, with all letters in lower case.
///
/// Large mail systems ignore case, so two addresses with the same normalised form are the same
/// address. Compare addresses in this form only.
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
