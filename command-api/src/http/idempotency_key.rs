//! Reads the `Idempotency-Key` header: a quoted string (RFC 9651), or the bare key.

use axum::http::{HeaderMap, HeaderName};
use service_kit::Problem;
use service_kit::http::single;
use sfv::{BareItem, Item, Parser};

use crate::application::idempotency::{IdempotencyKey, MAX_KEY_LEN};

/// The accepted texts, as a regular expression for JSON Schema: a bare key, or a quoted string with
/// its escapes.
pub(super) const PATTERN: &str = r#"^([!#-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#;
/// The name of the header with the idempotency key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The error for a header value that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key is 1 to {MAX_KEY_LEN} printable ASCII characters, bare or in double quotes"
)]
struct MalformedKey;

/// Reads the idempotency key of a request, if it has one.
///
/// # Errors
/// A 400 problem if the header is repeated or is not a key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let malformed = |detail: &str| {
        Problem::bad_request(
            "idempotency/malformed-key",
            "The Idempotency-Key header cannot be read",
        )
        .detail(detail)
    };
    let Some(text) =
        single(headers, &IDEMPOTENCY_KEY).map_err(|error| malformed(&error.to_string()))?
    else {
        return Ok(None);
    };
    parse(text).map(Some).map_err(|error| malformed(&error.to_string()))
}

fn parse(text: &str) -> Result<IdempotencyKey, MalformedKey> {
    let key = match text.strip_prefix('"') {
        Some(_) => quoted(text).ok_or(MalformedKey)?,
        None if text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => text.to_owned(),
        None => return Err(MalformedKey),
    };
    IdempotencyKey::new(key).map_err(|_| MalformedKey)
}

/// Reads a structured field that is a string without parameters.
fn quoted(text: &str) -> Option<String> {
    let item = Parser::new(text).parse::<Item>().ok()?;
    match item.bare_item {
        BareItem::String(key) if item.params.is_empty() => Some(key.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use regex::Regex;

    use super::{IdempotencyKey, MAX_KEY_LEN, MalformedKey, PATTERN, parse};

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        assert!(parse("\"a-1\"").unwrap() == parse("a-1").unwrap());
        let escaped = parse(r#""a \"b\" \\""#).unwrap();
        assert!(escaped == IdempotencyKey::new("a \"b\" \\").unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(MAX_KEY_LEN + 1);
        let pattern = Regex::new(PATTERN).unwrap();
        for text in [
            "",
            "\"\"",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\";b=1",
            "a b",
            "ä",
            "\"ä\"",
            "\"a\\n\"",
            "a\u{0}",
            &long,
            &format!("\"{long}\""),
        ] {
            assert!(parse(text) == Err(MalformedKey), "{text:?}");
            assert!(!pattern.is_match(text), "{text:?}");
        }
        assert!(parse(&"x".repeat(MAX_KEY_LEN)).is_ok());
    }

    #[test]
    fn what_the_description_allows_is_a_key() {
        let pattern = Regex::new(PATTERN).unwrap();
        let (bare, quotes) = ("x".repeat(MAX_KEY_LEN), "\\\"".repeat(MAX_KEY_LEN));
        for text in [&bare, "a", "'~!", r#""a \"b\" \\ [c]""#, &format!("\"{quotes}\"")] {
            assert!(pattern.is_match(text) && parse(text).is_ok(), "{text}");
        }
    }
}
