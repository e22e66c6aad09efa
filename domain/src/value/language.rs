//! Languages, and locales: a language as it is written in a place.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language: a code of ISO 639 with two or three lower-case letters, such as `de`.
///
/// Deserialising does not check it again, because a language in a stored event was valid when it
/// was written. The list of ISO 639 grows, so only the form is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Language(String);

/// A locale: a language, and optionally a script and a region, such as `de-AT` or `zh-Hant-TW`.
///
/// Deserialising does not check it again, because a locale in a stored event was valid when it was
/// written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Locale(String);

/// Why a text is not a language or a locale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// The text is not two or three lower-case letters.
    #[error("the language is not a code of ISO 639, such as de")]
    MalformedLanguage,
    /// The text is not a language with an optional script and region.
    #[error("the locale is not a tag of BCP 47 in its usual letters, such as de-AT")]
    MalformedLocale,
}

fn is_language(text: &str) -> bool {
    matches!(text.len(), 2 | 3) && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_script(text: &str) -> bool {
    let mut letters = text.bytes();
    text.len() == 4
        && letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_lowercase())
}

fn is_region(text: &str) -> bool {
    match text.len() {
        2 => text.bytes().all(|letter| letter.is_ascii_uppercase()),
        3 => text.bytes().all(|digit| digit.is_ascii_digit()),
        _ => false,
    }
}

impl Language {
    /// Accepts a code of two or three lower-case letters.
    ///
    /// # Errors
    /// [`LanguageError::MalformedLanguage`].
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        if is_language(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LanguageError::MalformedLanguage)
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Locale {
    /// Accepts a language, optionally with a script and a region after hyphens.
    ///
    /// # Errors
    /// [`LanguageError::MalformedLocale`].
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        let tags: Vec<&str> = text.split('-').collect();
        let fits = match tags[..] {
            [language] => is_language(language),
            [language, last] => is_language(language) && (is_script(last) || is_region(last)),
            [language, script, region] => {
                is_language(language) && is_script(script) && is_region(region)
            }
            _ => false,
        };
        if fits { Ok(Self(text.to_owned())) } else { Err(LanguageError::MalformedLocale) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locale(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, LanguageError, Locale};

    #[test]
    fn a_language_is_two_or_three_lower_case_letters() {
        for text in ["de", "gsw"] {
            assert_eq!(Language::parse(text).as_ref().map(Language::as_str), Ok(text));
        }
        for text in ["", "d", "DE", "de-AT", "deut", "d1", "äö"] {
            assert_eq!(Language::parse(text), Err(LanguageError::MalformedLanguage), "{text}");
        }
    }

    #[test]
    fn a_locale_has_a_language_and_may_have_a_script_and_a_region() {
        for text in ["de", "de-AT", "zh-Hant", "zh-Hant-TW", "es-419"] {
            assert!(Locale::parse(text).is_ok_and(|locale| locale.as_str() == text), "{text}");
        }
        for text in [
            "",
            "DE",
            "de_AT",
            "de-at",
            "de-",
            "-AT",
            "zh-hant",
            "de-Latn-at",
            "de-AT-x",
            "de-Latn-AT-1",
        ] {
            assert!(Locale::parse(text) == Err(LanguageError::MalformedLocale), "{text}");
        }
    }
}
