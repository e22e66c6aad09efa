//! The e-mail address of a user.

use std::fmt;

use formats::email;
pub use formats::email::EmailError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A plain ASCII e-mail address, `local@domain`, in the letters that the user typed.
///
/// Deserialising does not check it again, because an address in a stored event was valid when it
/// was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Accepts `text` unchanged if it is an address.
    ///
    /// # Errors
    /// [`EmailError`] says why the text is not an address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        email::check(text).map(|()| Self(text.to_owned()))
    }

    /// The address as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which an address is unique: all letters in lower case.
    pub fn normalised(&self) -> String {
        email::normalised(&self.0)
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
        for text in [
            "ada@example.com",
            "Ada.Lovelace+shop@Mail.Example.com",
            "cdnow-00001@example.com",
            "root@localhost",
        ] {
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
        assert_eq!(
            Email::parse(&format!("{}@example.com", "a".repeat(300))).unwrap_err(),
            EmailError::TooLong
        );
    }

    #[test]
    fn addresses_that_differ_in_case_alone_are_one() {
        let (a, b) =
            (Email::parse("Ada@Example.com").unwrap(), Email::parse("ada@example.COM").unwrap());
        assert_eq!(a.normalised(), b.normalised());
    }

    #[test]
    fn debug_output_never_shows_the_address() {
        assert!(!format!("{:?}", Email::parse("ada@example.com").unwrap()).contains("ada"));
    }
}
