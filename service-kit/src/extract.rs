//! Extractors that answer bad input with problem details. They return 400 for input that cannot be
//! parsed, 413 and 415 as HTTP defines them, and 422 with a pointer for wrong content. The types
//! they read should derive `Deserialize` with `#[serde(deny_unknown_fields)]`.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;

use crate::body::read_body;
use crate::input::MediaType;
use crate::problem::{FieldError, Problem};

mod message;

/// Extracts a JSON object from the body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// Extracts the query parameters. An unknown, repeated or ill-typed parameter gets a 422.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// Extracts the path parameters. An invalid one (an id that is not a UUID) gets a 404. So does a
/// path with a percent sign: no path of ours needs one, and a resource has only one address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse_json(&read_body(request.into_body()).await?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains('%') {
            return Err(Problem::not_found());
        }
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Checks that the content type of a body is JSON.
///
/// # Errors
/// 415 if it is not.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if content_type(headers).is_some_and(|kind| kind.is_json()) {
        Ok(())
    } else {
        Err(Problem::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("send application/json"))
    }
}

/// Checks that the content type of a body is JSON, or a JSON merge patch (RFC 7396).
///
/// # Errors
/// 415 if it is neither. Its `Accept-Patch` names both.
pub fn require_patch(headers: &HeaderMap) -> Result<(), Problem> {
    if content_type(headers).is_some_and(|kind| kind.is_json() || kind.is_merge_patch()) {
        return Ok(());
    }
    let both = HeaderValue::from_static("application/merge-patch+json, application/json");
    Err(Problem::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .detail("send application/merge-patch+json or application/json")
        .header(HeaderName::from_static("accept-patch"), both))
}

/// Parses a JSON object.
///
/// # Errors
/// 400 if the bytes are not JSON; 422 with a pointer if the content is wrong.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        // Wrong content ends parsing early, and the rest may still not be JSON.
        match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Ok(_) if inner.is_data() => invalid(pointer, &inner.to_string()),
            // The text is JSON, but the number exceeds every numeric type.
            Ok(_) if inner.to_string().starts_with("number out of range") => {
                invalid(pointer, "the number is out of range")
            }
            Ok(_) => not_json(&inner),
            Err(syntax) => not_json(&syntax),
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    // serde would accept an array of a struct's fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        Err(invalid(String::new(), "expected an object"))
    } else {
        Ok(value)
    }
}

/// Parses query parameters.
///
/// # Errors
/// 422 for an unknown, repeated or ill-typed parameter.
pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name.contains('\0') || value.contains('\0') {
            let nul =
                FieldError::new(escape(&name), "invalid", "the character U+0000 is not allowed");
            return Err(Problem::invalid(vec![nul]));
        }
        // The decoder's replacement for bytes that are not UTF-8. Real input does not contain it.
        if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER)
        {
            let no_text = FieldError::new(escape(&name), "invalid", "the parameter is not UTF-8");
            return Err(Problem::invalid(vec![no_text]));
        }
        if !seen.insert(name.clone()) {
            let repeated =
                FieldError::new(escape(&name), "repeated", "the parameter is given more than once");
            return Err(Problem::invalid(vec![repeated]));
        }
    }
    let deserializer =
        serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        invalid(pointer, &error.into_inner().to_string())
    })
}

/// The content type, if there is exactly one.
fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok().and_then(MediaType::parse)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::bad_request("malformed-json", "The body is not JSON").detail(format!(
        "at line {}, column {}",
        error.line(),
        error.column()
    ))
}

fn invalid(pointer: String, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let (pointer, code) = match named_field(message) {
        Some((code, name)) if !pointer.ends_with(&escape(name)) => {
            (format!("{pointer}{}", escape(name)), code)
        }
        Some((code, _)) => (pointer, code),
        None => (pointer, "invalid"),
    };
    let message = message::in_words_of_the_format(message);
    Problem::invalid(vec![FieldError::new(pointer, Cow::Borrowed(code), message)])
}

/// serde names the field in its message when the path ends at the enclosing object.
fn named_field(message: &str) -> Option<(&'static str, &str)> {
    let forms = [
        ("unknown field `", "unknown"),
        ("missing field `", "missing"),
        ("duplicate field `", "repeated"),
    ];
    forms
        .iter()
        .find_map(|(start, code)| Some((*code, message.strip_prefix(start)?.split('`').next()?)))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&escape(&index.to_string())),
            Segment::Map { key } => pointer.push_str(&escape(key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn escape(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(rename = "name")]
        _name: String,
        #[serde(rename = "lines", default)]
        _lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[serde(rename = "quantity")]
        _quantity: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        #[serde(rename = "page")]
        _page: Option<u32>,
    }

    fn errors(problem: &Problem) -> Value {
        serde_json::to_value(problem.body()).unwrap()["errors"].clone()
    }

    #[test]
    fn wrong_content_is_pointed_at() {
        for (body, pointer, code) in [
            (
                json!({"name": "a", "lines": [{"quantity": 1}, {"quantity": "x"}]}),
                "/lines/1/quantity",
                "invalid",
            ),
            (
                json!({"name": "a", "lines": [{"quantity": 1, "width": 2}]}),
                "/lines/0/width",
                "unknown",
            ),
            (json!({"lines": []}), "/name", "missing"),
            (json!({"name": "a", "a/b": 1}), "/a~1b", "unknown"),
        ] {
            let problem = parse_json::<Body>(body.to_string().as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 422);
            assert_eq!(errors(&problem)[0]["pointer"], pointer, "{problem:?}");
            assert_eq!(errors(&problem)[0]["code"], code, "{problem:?}");
        }
    }

    #[test]
    fn a_number_beyond_all_bounds_is_json_and_wrong() {
        let problem =
            parse_json::<Body>(br#"{"name": "a", "lines": [{"quantity": 1e400}]}"#).unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), &errors(&problem)[0]["pointer"]),
            (422, &json!("/lines/0/quantity"))
        );
    }

    #[test]
    fn one_content_type_that_says_json_is_wanted() {
        let headers = |values: &[&'static str]| {
            let lines = values
                .iter()
                .map(|value| (CONTENT_TYPE, axum::http::HeaderValue::from_static(value)));
            lines.collect::<HeaderMap>()
        };
        assert!(require_json(&headers(&["application/json; charset=utf-8"])).is_ok());
        for values in
            [&["application/problem+json"][..], &["application/json", "application/json"], &[]]
        {
            assert_eq!(require_json(&headers(values)).unwrap_err().status(), 415, "{values:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in ["", "{", "{\"name\":\"a\"} x", "\u{0}", "[1", "{\"name\": 1", "{} {}"] {
            assert_eq!(parse_json::<Body>(body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
        assert_eq!(
            parse_json::<Value>("[".repeat(1000).as_bytes()).unwrap_err().status(),
            400,
            "too deep"
        );
    }

    #[test]
    fn unknown_repeated_and_ill_typed_parameters_are_pointed_at() {
        for (query, pointer, code) in [
            ("pages=1", "/pages", "unknown"),
            ("page=1&page=2", "/page", "repeated"),
            ("page=x", "/page", "invalid"),
            ("page=-1", "/page", "invalid"),
            ("page=%00", "/page", "invalid"),
            ("page=%ff", "/page", "invalid"),
        ] {
            let problem = parse_query::<Parameters>(query).unwrap_err();
            assert_eq!(problem.status(), 422, "{query}");
            assert_eq!(errors(&problem)[0]["pointer"], pointer, "{query} {problem:?}");
            assert_eq!(errors(&problem)[0]["code"], code, "{query}");
        }
        assert!(parse_query::<Parameters>("page=3").is_ok());
    }
}
