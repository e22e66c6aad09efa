//! Names of people and products.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) mod visible;

/// The maximum length of a name in characters, counted before the surrounding blanks are cut off.
pub const MAX_NAME_LEN: usize = 200;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no visible character: it is empty, or has only blanks and invisible characters.
    #[error("the name has no visible character")]
    Empty,
    /// The name is longer than [`MAX_NAME_LEN`].
    #[error("the name is longer than {MAX_NAME_LEN} characters")]
    TooLong,
    /// The name has a control character, or one that ends a line or a paragraph.
    #[error("the name has a control character")]
    ControlCharacter,
    /// The name has a character that changes the writing direction of the text after it.
    #[error("the name has a character that overrides the direction of writing")]
    DirectionOverride,
}

/// The name of a person, without surrounding blanks.
///
/// Deserialising does not check it again, because a name in a stored event was valid when it was
/// written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PersonName(String);

/// The name of a product, without surrounding blanks.
///
/// Deserialising does not check it again, because a name in a stored event was valid when it was
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProductName(String);

/// Checks a text that is shown in one line, and cuts off surrounding blanks.
pub(super) fn parse(text: &str) -> Result<String, NameError> {
    if text.chars().count() > MAX_NAME_LEN {
        return Err(NameError::TooLong);
    }
    let text = text.trim();
    if text.chars().any(visible::is_control) {
        Err(NameError::ControlCharacter)
    } else if text.chars().any(visible::turns_direction) {
        Err(NameError::DirectionOverride)
    } else if text.chars().any(visible::is_visible) {
        Ok(text.to_owned())
    } else {
        Err(NameError::Empty)
    }
}

impl PersonName {
    /// Accepts `text` if it is a name, and cuts off surrounding blanks.
    ///
    /// # Errors
    /// [`NameError`] says why the text is not a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse(text).map(Self)
    }

    /// The name as text.
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
    /// Accepts `text` if it is a name, and cuts off surrounding blanks.
    ///
    /// # Errors
    /// [`NameError`] says why the text is not a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse(text).map(Self)
    }

    /// The name as text.
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
        assert_eq!(
            ProductName::parse(&"é".repeat(MAX_NAME_LEN + 1)).unwrap_err(),
            NameError::TooLong
        );
        assert!(ProductName::parse(&"é".repeat(MAX_NAME_LEN)).is_ok());
    }

    #[test]
    fn a_name_has_something_to_see() {
        for invisible in [
            "\u{200b}",
            "\u{feff}",
            "\u{2060}\u{200d}",
            "\u{ad}",
            "\u{3164}",
            "\u{115f}\u{1160}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{3000}",
            "\u{180e}",
            "\u{e0041}\u{e007f}",
            "\u{fe0f}",
            "\u{fff9}\u{fffb}",
            " \u{200b} ",
        ] {
            assert_eq!(
                PersonName::parse(invisible).unwrap_err(),
                NameError::Empty,
                "{invisible:?}"
            );
        }
        // These invisible characters are allowed next to visible ones, as in emoji, Persian and
        // Hebrew.
        for name in
            ["👩\u{200d}🚀", "نامه\u{200c}ای", "\u{5d0}\u{200f}!", "e\u{301}", "1", "株式会社"]
        {
            assert_eq!(ProductName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_does_not_turn_the_direction_of_writing() {
        for turning in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            let name = format!("Ada{turning}gpj.exe");
            assert_eq!(
                PersonName::parse(&name).unwrap_err(),
                NameError::DirectionOverride,
                "{turning:?}"
            );
        }
        for end in ["a\u{2028}b", "a\u{2029}b", "a\u{85}b"] {
            assert_eq!(ProductName::parse(end).unwrap_err(), NameError::ControlCharacter);
        }
    }

    #[test]
    fn debug_output_never_shows_a_person() {
        assert!(!format!("{:?}", PersonName::parse("Ada").unwrap()).contains("Ada"));
    }
}
