//! The postal address of a person, without its country.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PersonName;
use super::name::{self, NameError};

/// The maximum length of a postal code, in characters.
pub const MAX_POSTAL_CODE_LEN: usize = 12;

/// Who receives a parcel, and where in a country. All of it is personal data.
///
/// The country and the region are not, and are in a [`super::Destination`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostalAddress {
    /// The person or company that receives.
    pub recipient: PersonName,
    /// The street with the number of the house, or a post-office box.
    pub street: AddressLine,
    /// The city or town.
    pub city: AddressLine,
    /// The postal code, where the country has one.
    pub postal_code: Option<PostalCode>,
}

/// A line of an address, without surrounding blanks: 1 to 200 characters.
///
/// Deserialising does not check it again, because a line in a stored event was valid when it was
/// written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AddressLine(String);

/// A postal code: 1 to 12 ASCII letters and digits, with blanks or hyphens between them.
///
/// Deserialising does not check it again, because a code in a stored event was valid when it was
/// written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PostalCode(String);

/// The error for a text that is not a postal code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the postal code is not 1 to {MAX_POSTAL_CODE_LEN} letters and digits, with blanks or hyphens \
        between them"
)]
pub struct PostalCodeError;

impl PostalAddress {
    /// The length of all texts, in bytes.
    pub fn text_len(&self) -> usize {
        let code = self.postal_code.as_ref().map_or(0, |code| code.0.len());
        self.recipient.as_str().len() + self.street.0.len() + self.city.0.len() + code
    }
}

impl AddressLine {
    /// Accepts `text` by the rules for names, and cuts off surrounding blanks.
    ///
    /// # Errors
    /// [`NameError`] says why the text is not a line.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        name::parse(text).map(Self)
    }

    /// The line as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PostalCode {
    /// Accepts a code as it is written.
    ///
    /// # Errors
    /// [`PostalCodeError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, PostalCodeError> {
        let is_separator = |byte: u8| matches!(byte, b' ' | b'-');
        let fits = (1..=MAX_POSTAL_CODE_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_separator(byte))
            && !text.bytes().next().is_some_and(is_separator)
            && !text.bytes().last().is_some_and(is_separator);
        if fits { Ok(Self(text.to_owned())) } else { Err(PostalCodeError) }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostalAddress(..)")
    }
}

impl fmt::Debug for AddressLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressLine(..)")
    }
}

impl fmt::Debug for PostalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostalCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressLine, NameError, PostalCode, PostalCodeError};

    #[test]
    fn a_line_is_a_text_like_a_name() {
        assert!(AddressLine::parse(" Ring 1 ").is_ok_and(|line| line.as_str() == "Ring 1"));
        assert!(AddressLine::parse("").is_err_and(|error| error == NameError::Empty));
        let two = AddressLine::parse("a\nb");
        assert!(two.is_err_and(|error| error == NameError::ControlCharacter));
    }

    #[test]
    fn a_postal_code_has_letters_and_digits_and_separators_between_them() {
        for text in ["1010", "SW1A 1AA", "90210-1234", "D"] {
            assert!(PostalCode::parse(text).is_ok_and(|code| code.as_str() == text), "{text}");
        }
        for text in ["", " 1010", "1010-", "1234567890123", "10/10", "１０１０"] {
            assert!(PostalCode::parse(text).is_err_and(|error| error == PostalCodeError), "{text}");
        }
    }

    #[test]
    fn debug_output_never_shows_an_address() {
        let shown = format!("{:?} {:?}", AddressLine::parse("Ring 1"), PostalCode::parse("1010"));
        assert_eq!(shown, "Ok(AddressLine(..)) Ok(PostalCode(..))");
    }
}
