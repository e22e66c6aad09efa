//! Notes that staff add to what they record: a reason, and evidence from another system.
//!
//! Neither is about a person. They are stored as they are, and no erasure removes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::visible;

/// Why a text is not a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// The reason has no visible character.
    #[error("the reason has no visible character")]
    Empty,
    /// The reason is longer than [`Reason::MAX_LEN`].
    #[error("the reason is longer than {} characters", Reason::MAX_LEN)]
    TooLong,
    /// The reason has a control character, or one that changes the direction of writing.
    #[error("the reason has a control character or one that overrides the direction of writing")]
    ControlCharacter,
}

/// The error for a text that is not [`Evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the evidence is not 1 to {} visible ASCII characters", Evidence::MAX_LEN)]
pub struct EvidenceError;

/// Why somebody recorded something, in one line of free text without surrounding blanks.
///
/// Deserialising does not check it again, because a reason in a stored event was valid when it was
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reason(String);

/// The reference of a proof in another system, such as the number of a gateway's payment.
///
/// Deserialising does not check it again, because a reference in a stored event was valid when it
/// was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Evidence(String);

impl Reason {
    /// The maximum length in characters, counted before the surrounding blanks are cut off.
    pub const MAX_LEN: usize = 500;

    /// Accepts a line of text, and cuts off surrounding blanks.
    ///
    /// # Errors
    /// [`ReasonError`] says why the text is not a reason.
    pub fn parse(text: &str) -> Result<Self, ReasonError> {
        if text.chars().count() > Self::MAX_LEN {
            return Err(ReasonError::TooLong);
        }
        let text = text.trim();
        if text.chars().any(|one| visible::is_control(one) || visible::turns_direction(one)) {
            Err(ReasonError::ControlCharacter)
        } else if text.chars().any(visible::is_visible) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReasonError::Empty)
        }
    }

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Evidence {
    /// The maximum length in characters.
    pub const MAX_LEN: usize = 200;

    /// Accepts 1 to [`Evidence::MAX_LEN`] visible ASCII characters.
    ///
    /// # Errors
    /// [`EvidenceError`] if the text is something else.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let is_length = (1..=Self::MAX_LEN).contains(&text.len());
        if is_length && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EvidenceError)
        }
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, EvidenceError, Reason, ReasonError};

    #[test]
    fn a_reason_is_one_line_of_visible_text() {
        let reason = |text: &str| Reason::parse(text).map(|reason| reason.as_str().to_owned());
        assert_eq!(reason("  seen at the counter "), Ok("seen at the counter".to_owned()));
        assert!(reason(&"é".repeat(Reason::MAX_LEN)).is_ok());
        assert_eq!(reason(&"é".repeat(Reason::MAX_LEN + 1)), Err(ReasonError::TooLong));
        for text in ["", "  ", "\u{200b}"] {
            assert_eq!(reason(text), Err(ReasonError::Empty), "{text:?}");
        }
        for text in ["a\nb", "a\u{0}b", "a\u{202e}b", "a\u{2028}b"] {
            assert_eq!(reason(text), Err(ReasonError::ControlCharacter), "{text:?}");
        }
    }

    #[test]
    fn evidence_is_a_short_reference() {
        let evidence = |text: &str| Evidence::parse(text).map(|one| one.as_str().to_owned());
        assert_eq!(evidence("pi_3Mtw/7"), Ok("pi_3Mtw/7".to_owned()));
        assert!(evidence(&"x".repeat(Evidence::MAX_LEN)).is_ok());
        for text in ["", "a b", "é", "a\n", &"x".repeat(Evidence::MAX_LEN + 1)] {
            assert_eq!(evidence(text), Err(EvidenceError), "{text:?}");
        }
    }
}
