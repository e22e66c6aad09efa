//! E-mail addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A plain ASCII address, `local@domain`, as it was typed.
///
/// Reading one from a stored event does not check it again: what the log holds was valid when it was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

/// Why a text is not an address that the shop takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Longer than mail systems deliver to.
    #[error("the e-mail address is longer than {} characters", Email::MAX_LEN)]
    TooLong,
    /// Not of the form `local@domain`.
    #[error("the text is not an e-mail address")]
    Malformed,
}

impl Email {
    /// Longest address, in characters.
    pub const MAX_LEN: usize = 254;
    const MAX_LOCAL_LEN: usize = 64;
    const MAX_LABEL_LEN: usize = 63;
    /// What RFC 5322 lets stand in an unquoted local part besides letters and digits.
    const LOCAL_SPECIALS: &'static [u8] = b"!#$%&'*+-/=?^_`{|}~.";

    /// Takes `text` as it is, when it is an address.
    ///
    /// # Errors
    /// [`EmailError`].
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.len() > Self::MAX_LEN {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError::Malformed)?;
        if Self::local_ok(local) && Self::domain_ok(domain) { Ok(Self(text.to_owned())) } else { Err(EmailError::Malformed) }
    }

    fn local_ok(local: &str) -> bool {
        (1..=Self::MAX_LOCAL_LEN).contains(&local.len())
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || Self::LOCAL_SPECIALS.contains(&b))
            && local.split('.').all(|atom| !atom.is_empty())
    }

    fn domain_ok(domain: &str) -> bool {
        domain.split('.').all(|label| {
            (1..=Self::MAX_LABEL_LEN).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
    }

    /// The address as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which an address is unique: letters of any case are one address, as every large mail system treats them.
    pub fn normalised(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use super::{Email, EmailError};

    #[test]
    fn an_ordinary_address_is_taken_as_typed() {
        for text in ["ada@example.com", "Ada.Lovelace+shop@Mail.Example.com", "cdnow-00001@example.com", "root@localhost"] {
            assert_eq!(Email::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@example.com",
            "ada@exa mple.com",
            "ada@-example.com",
            "ada@example..com",
            ".ada@example.com",
            "a..b@example.com",
            "ada\u{0}@example.com",
            "ädä@example.com",
            "ada@example.com\r\nBcc: x@y.z",
        ] {
            assert_eq!(Email::parse(text).unwrap_err(), EmailError::Malformed, "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(300))).unwrap_err(), EmailError::TooLong);
    }

    #[test]
    fn addresses_that_differ_in_case_alone_are_one() {
        let (a, b) = (Email::parse("Ada@Example.com").unwrap(), Email::parse("ada@example.COM").unwrap());
        assert_eq!(a.normalised(), b.normalised());
    }

    #[test]
    fn debug_output_never_shows_the_address() {
        assert!(!format!("{:?}", Email::parse("ada@example.com").unwrap()).contains("ada"));
    }
}
