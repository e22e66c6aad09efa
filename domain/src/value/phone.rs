//! The telephone number of a person.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A telephone number in the international form of E.164: `+` and 7 to 15 digits.
///
/// Deserialising does not check it again, because a number in a stored event was valid when it was
/// written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Phone(String);

/// The error for a text that is not a telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the telephone number is not + and 7 to 15 digits, such as +4312345678")]
pub struct PhoneError;

impl Phone {
    /// Accepts `+`, a country code that does not begin with 0, and the rest of the number.
    ///
    /// # Errors
    /// [`PhoneError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError)?;
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if fits { Ok(Self(text.to_owned())) } else { Err(PhoneError) }
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Phone, PhoneError};

    #[test]
    fn a_number_is_international() {
        for text in ["+4312345678", "+1234567", "+123456789012345"] {
            assert!(Phone::parse(text).is_ok_and(|phone| phone.as_str() == text), "{text}");
        }
        for text in
            ["", "+", "4312345678", "+0123456", "+123456", "+1234567890123456", "+43 1234 5"]
        {
            assert!(Phone::parse(text) == Err(PhoneError), "{text}");
        }
    }

    #[test]
    fn debug_output_never_shows_the_number() {
        assert_eq!(format!("{:?}", Phone::parse("+4312345678")), "Ok(Phone(..))");
    }
}
