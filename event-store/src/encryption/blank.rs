//! Blanks the personal fields of erased subjects in a copy of an event's data, such as a dead
//! letter of a consumer elsewhere. It needs no key.

use std::borrow::Cow;
use std::collections::BTreeSet;

use uuid::Uuid;

use super::marked;

/// The replacement of data that is not as the log holds it.
const NOTHING: &str = "null";

/// The subjects of the personal fields in an event's data, encrypted or not. Empty if the data is
/// not as the log holds it.
pub fn subjects_in(data: &str) -> BTreeSet<Uuid> {
    let fields = marked::fields(data).unwrap_or_default();
    fields.iter().map(|field| field.subject).collect()
}

/// Returns an event's data in which each personal field of an erased subject is
/// `{"$subject": <uuid>, "$personal": null}`, as a reader with the keys would get it. All other
/// bytes stay unchanged.
///
/// Data that has a reserved name in a wrong place may hold anything, so it becomes `null`.
pub fn blanked(data: &str, is_erased: impl Fn(Uuid) -> bool) -> Cow<'_, str> {
    let Ok(fields) = marked::fields(data) else { return NOTHING.into() };
    let edits: Vec<_> = fields
        .iter()
        .filter(|field| is_erased(field.subject))
        .map(|field| field.revealed(None))
        .collect();
    if edits.is_empty() {
        return data.into();
    }
    marked::replaced(data, edits).map_or(NOTHING.into(), |json| json.get().to_owned().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;

    const ADA: Uuid = Uuid::from_u128(7);
    const BOB: Uuid = Uuid::from_u128(8);

    #[test]
    fn only_fields_of_the_erased_become_null_whether_encrypted_or_not() {
        let data = json!({
            "n": 12_345_678_901_234_567_890_u64,
            "a": {"$subject": ADA, "$sealed": "AQ"},
            "list": [{"$subject": ADA, "$personal": "Ada"}, {"$subject": BOB, "$sealed": "AQ"}],
        })
        .to_string();
        assert_eq!(subjects_in(&data), BTreeSet::from([ADA, BOB]));
        let after: Value = serde_json::from_str(&blanked(&data, |of| of == ADA)).unwrap();
        let gone = json!({"$subject": ADA, "$personal": null});
        let expected = json!({
            "n": 12_345_678_901_234_567_890_u64,
            "a": gone,
            "list": [gone, {"$subject": BOB, "$sealed": "AQ"}],
        });
        assert_eq!(after, expected);
        assert!(matches!(blanked(&data, |_| false), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_not_the_logs_becomes_nothing_rather_than_stay_readable() {
        let data = json!({"a": {"$personal": "Ada"}}).to_string();
        assert_eq!(blanked(&data, |_| false), "null");
        assert!(subjects_in(&data).is_empty());
    }
}
