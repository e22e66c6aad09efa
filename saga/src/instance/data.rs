//! What the log can keep of what calls return and events say. The engine checks it, because actions
//! are not its own code, and the log would refuse an append with other data again and again.

use serde_json::Value;

use super::{Answer, Signal};

/// The maximum size of the data of a start or an outcome, in bytes of JSON.
pub const MAX_DATA: usize = 64 * 1024;
/// The maximum nesting depth of these data.
pub const MAX_DATA_DEPTH: usize = 32;
/// The maximum length of a reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// Why data cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the data have {0} bytes, more than {MAX_DATA}")]
    Large(usize),
    #[error("the data are nested deeper than {MAX_DATA_DEPTH}")]
    Deep,
    #[error("the data have the character NUL")]
    Nul,
}

/// Checks that the log can keep these data.
pub(crate) fn check(data: &Value) -> Result<(), Unfit> {
    check_below(data, MAX_DATA_DEPTH)?;
    match data.to_string().len() {
        0..=MAX_DATA => Ok(()),
        bytes => Err(Unfit::Large(bytes)),
    }
}

/// Checks all but the size. It goes no deeper than `depth` levels.
fn check_below(data: &Value, depth: usize) -> Result<(), Unfit> {
    let below = || depth.checked_sub(1).ok_or(Unfit::Deep);
    match data {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => check_text(text),
        Value::Array(items) => {
            let depth = below()?;
            items.iter().try_for_each(|item| check_below(item, depth))
        }
        Value::Object(fields) => {
            let depth = below()?;
            fields
                .iter()
                .try_for_each(|(name, value)| check_text(name).and(check_below(value, depth)))
        }
    }
}

/// Checks that the log can keep this text.
pub(crate) fn check_text(text: &str) -> Result<(), Unfit> {
    if text.contains('\0') { Err(Unfit::Nul) } else { Ok(()) }
}

/// A reason of bounded length that the log can keep.
pub(crate) fn short(reason: String) -> String {
    if check_text(&reason).is_ok() && reason.chars().nth(MAX_REASON).is_none() {
        return reason;
    }
    reason.chars().filter(|char| *char != '\0').take(MAX_REASON).collect()
}

impl Signal {
    /// The part of it that the log can keep. It counts even if its data cannot be kept.
    pub(crate) fn storable(self) -> Self {
        match self {
            Self::Cancel { reason } => Self::Cancel { reason: reason.storable() },
            Self::Answer { step, part, call, answer } => {
                Self::Answer { step: short(step), part, call, answer: answer.storable() }
            }
        }
    }
}

impl Answer {
    fn storable(self) -> Self {
        match self {
            Self::Done(data) => match check(&data) {
                Ok(()) => Self::Done(data),
                Err(error) => {
                    tracing::error!(%error, "an answer to a saga counts without its data");
                    Self::Done(Value::Null)
                }
            },
            Self::Rejected(reason) => Self::Rejected(reason.storable()),
            Self::Unavailable { reason, retry_after } => {
                Self::Unavailable { reason: short(reason), retry_after }
            }
            Self::Stuck(reason) => Self::Stuck(short(reason)),
            Self::Pending => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::instance::Part;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn data_that_the_log_cannot_keep_are_refused() {
        assert_eq!(check(&json!({ "id": "a", "count": 1 })), Ok(()));
        assert_eq!(check(&json!("a\0b")), Err(Unfit::Nul));
        assert_eq!(check(&json!([{ "a\0b": 1 }])), Err(Unfit::Nul));
        assert_eq!(check(&nested(MAX_DATA_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DATA_DEPTH + 1)), Err(Unfit::Deep));
        assert_eq!(check(&json!("a".repeat(MAX_DATA))), Err(Unfit::Large(MAX_DATA + 2)));
    }

    #[test]
    fn a_reason_is_short_and_has_no_nul() {
        assert_eq!(short("no\0 answer".into()), "no answer");
        assert_eq!(short("ä".repeat(MAX_REASON)), "ä".repeat(MAX_REASON));
        assert_eq!(short("ä".repeat(MAX_REASON + 1)), "ä".repeat(MAX_REASON));
    }

    #[test]
    fn a_success_in_the_log_counts_without_data_that_cannot_be_kept() {
        let answer =
            |answer| Signal::Answer { step: "a".into(), part: Part::Action, call: None, answer };
        assert_eq!(
            answer(Answer::Done(json!("a\0b"))).storable(),
            answer(Answer::Done(Value::Null))
        );
        let done = answer(Answer::Done(json!({ "id": 7 })));
        assert_eq!(done.clone().storable(), done);
    }
}
