//! The form that the names of roles and of parts of the system share.

/// The maximum length of such a name, in bytes.
pub(crate) const MAX_LEN: usize = 64;

/// Whether a text has 1 to [`MAX_LEN`] lower-case ASCII letters, digits and hyphens.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(is_allowed)
}
