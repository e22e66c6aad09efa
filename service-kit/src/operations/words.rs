//! Checks the texts with which people sign an operation.

use crate::FieldError;

/// Adds an error to `wrong` unless the text has 1 to `most` characters, is not blank, and has no
/// U+0000.
pub fn check_words(pointer: &str, text: &str, most: usize, wrong: &mut Vec<FieldError>) {
    if text.trim().is_empty() || text.chars().count() > most || text.contains('\0') {
        let detail = format!("expected 1 to {most} characters, not all blank, none of them U+0000");
        wrong.push(FieldError::new(pointer, "invalid", detail));
    }
}

/// Adds an error to `wrong` unless the text is an opaque id of 1 to `most` printable ASCII
/// characters without blanks.
pub fn check_id(pointer: &str, id: &str, most: usize, wrong: &mut Vec<FieldError>) {
    let is_id = (1..=most).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_id {
        let detail = format!(
            "expected an opaque id of 1 to {most} printable ASCII characters without blanks"
        );
        wrong.push(FieldError::new(pointer, "invalid", detail));
    }
}

/// The error for a name that is none of those expected.
pub fn unknown(pointer: &str, expected: &[&str]) -> FieldError {
    FieldError::new(pointer, "unknown", format!("expected one of {}", expected.join(", ")))
}
