//! Checks the free text with which people sign an operation. Nothing here knows projections.

use service_kit::FieldError;

/// Adds an error to `wrong` unless the text has 1 to `most` characters, is not blank, and has no
/// U+0000.
pub(super) fn check(pointer: &str, text: &str, most: usize, wrong: &mut Vec<FieldError>) {
    if text.trim().is_empty() || text.chars().count() > most || text.contains('\0') {
        let detail = format!("expected 1 to {most} characters, not all blank, none of them U+0000");
        wrong.push(FieldError::new(pointer, "invalid", detail));
    }
}
