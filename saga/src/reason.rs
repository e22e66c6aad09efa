//! Why something is refused or undone: in words for people, and as data for programs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::instance::data;

/// A reason, which is stored for ever, so it has no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reason {
    /// The reason in words, for people. Nothing reads them. They are cut off after 500 characters.
    pub text: String,
    /// The same for programs: compensations get it as [`Undoing::details`]. Null if there is
    /// nothing to say. What the log cannot keep is left out
    /// ([`MAX_DATA`](crate::instance::MAX_DATA)).
    #[serde(default)]
    pub details: Value,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, details: Value::Null }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Reason {
    /// The part of it that the log can keep.
    pub(crate) fn storable(self) -> Self {
        let Self { text, details } = self;
        let details = match data::check(&details) {
            Ok(()) => details,
            Err(error) => {
                tracing::error!(%error, "a reason counts without its details");
                Value::Null
            }
        };
        Self { text: data::short(text), details }
    }
}

/// Why a saga is undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undoing {
    /// The reason in words, for people.
    pub text: String,
    /// What the failed step or the signal said of it; null for a missed deadline, the expiry and a
    /// person.
    pub details: Value,
    /// The name of the step that failed, if one did.
    pub step: Option<String>,
    /// Who decided it, as an opaque id, if a person did.
    pub by: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_that_the_log_cannot_keep_are_left_out_and_the_words_stay() {
        let reason = |details| Reason { text: "no\0 way".to_owned(), details }.storable();
        let kept = |details| Reason { text: "no way".to_owned(), details };
        assert_eq!(reason(json!({ "code": 7 })), kept(json!({ "code": 7 })));
        assert_eq!(reason(json!("a\0b")), kept(Value::Null));
        assert_eq!(reason(json!("a".repeat(data::MAX_DATA))), kept(Value::Null));
    }
}
