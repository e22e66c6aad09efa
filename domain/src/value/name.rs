//! Names of people and products.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name, in characters.
pub const MAX_NAME_LEN: usize = 200;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or only blanks.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("the name is longer than {MAX_NAME_LEN} characters")]
    TooLong,
    /// It has a control character.
    #[error("the name has a control character")]
    ControlCharacter,
}

/// What a person is called; blanks around it are cut off.
///
/// Reading one from a stored event does not check it again: what the log holds was valid when it was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonName(String);

/// What a product is called; blanks around it are cut off.
///
/// Reading one from a stored event does not check it again: what the log holds was valid when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProductName(String);

fn parse(text: &str) -> Result<String, NameError> {
    let text = text.trim();
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.chars().count() > MAX_NAME_LEN {
        Err(NameError::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(NameError::ControlCharacter)
    } else {
        Ok(text.to_owned())
    }
}

impl PersonName {
    /// Takes `text`, when it is a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(..)")
    }
}

impl ProductName {
    /// Takes `text`, when it is a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{MAX_NAME_LEN, NameError, PersonName, ProductName};

    #[test]
    fn a_name_loses_the_blanks_around_it() {
        assert_eq!(PersonName::parse("  Ada Lovelace ").unwrap().as_str(), "Ada Lovelace");
        assert_eq!(ProductName::parse("日本の CD").unwrap().as_str(), "日本の CD");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(PersonName::parse("   ").unwrap_err(), NameError::Empty);
        assert_eq!(PersonName::parse("a\u{0}b").unwrap_err(), NameError::ControlCharacter);
        assert_eq!(ProductName::parse("a\nb").unwrap_err(), NameError::ControlCharacter);
        assert_eq!(ProductName::parse(&"é".repeat(MAX_NAME_LEN + 1)).unwrap_err(), NameError::TooLong);
        assert!(ProductName::parse(&"é".repeat(MAX_NAME_LEN)).is_ok());
    }

    #[test]
    fn debug_output_never_shows_a_person() {
        assert!(!format!("{:?}", PersonName::parse("Ada").unwrap()).contains("Ada"));
    }
}
