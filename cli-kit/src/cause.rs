//! An error and its causes.

use std::error::Error;

/// Formats an error with its causes in one line.
///
/// A cause that the text before it already contains is left out. Many library errors print their
/// cause and also return it as their source.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |mut text, cause| {
        let said = cause.to_string();
        if text.is_empty() {
            return said;
        }
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        text
    })
}

/// Iterates over an error and its causes, from the outermost to the root cause.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
