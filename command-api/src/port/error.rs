//! How a call to a port fails.

use std::fmt;
use std::time::Duration;

/// The maximum length of a code. A longer one is cut off.
const MAX_CODE: usize = 64;

/// How a call to a port fails. What a caller may do depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The provider decided against it, for good: this call will never take effect.
    #[error("the provider declined: {code}")]
    Declined {
        /// The provider's short word for its reason.
        code: Code,
    },
    /// The provider does not accept the request, for example with our secret key. This attempt took
    /// no effect; an earlier one under the same key may have. Sending it again is useless until
    /// somebody changes the program or the settings.
    #[error("the provider does not accept the request: {code}")]
    Invalid {
        /// The provider's short word for its reason.
        code: Code,
    },
    /// The call took no effect. It may be repeated, later.
    #[error("the provider is not available: {why}")]
    Unavailable {
        /// After what time it makes sense to call again, if that is known.
        retry_after: Option<Duration>,
        /// What happened, for operators.
        why: String,
    },
    /// Nobody knows whether the call took effect. The caller repeats it under the same key, or
    /// looks up what became of it.
    #[error("it is unknown whether the call took effect: {why}")]
    Unknown {
        /// After what time it makes sense to ask again, if that is known.
        retry_after: Option<Duration>,
        /// What happened, for operators.
        why: String,
    },
}

/// The provider's short word for a reason, such as `insufficient_funds`: letters, digits and
/// underscores. It is no free text, which might hold personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// The code without characters that no code has; `unspecified` if nothing is left.
    pub fn new(text: &str) -> Self {
        let is_fitting = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let code: String = text.chars().filter(is_fitting).take(MAX_CODE).collect();
        Self(if code.is_empty() { "unspecified".to_owned() } else { code })
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl GatewayError {
    /// The provider declined with this code.
    pub(crate) fn declined(code: &str) -> Self {
        Self::Declined { code: Code::new(code) }
    }

    /// The provider does not accept the request, with this code.
    pub(crate) fn invalid(code: &str) -> Self {
        Self::Invalid { code: Code::new(code) }
    }

    /// Nobody knows whether the call took effect.
    pub(crate) fn unknown(why: &str) -> Self {
        Self::Unknown { retry_after: None, why: why.to_owned() }
    }
}

impl From<outward::CallError> for GatewayError {
    fn from(error: outward::CallError) -> Self {
        let (why, retry_after) = (cli_kit::describe(&error), error.retry_after);
        match (error.effect, error.reason) {
            (outward::Effect::Unknown, _) => Self::Unknown { retry_after, why },
            (_, outward::Reason::Path(_) | outward::Reason::Key) => Self::invalid("request"),
            _ => Self::Unavailable { retry_after, why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_short_word() {
        assert_eq!(Code::new("insufficient_funds").as_str(), "insufficient_funds");
        assert_eq!(Code::new("card of Ada <ada@example.com>").as_str(), "cardofAdaadaexamplecom");
        assert_eq!(Code::new(" - ").as_str(), "unspecified");
        assert_eq!(Code::new(&"a".repeat(99)).as_str().len(), MAX_CODE);
    }
}
