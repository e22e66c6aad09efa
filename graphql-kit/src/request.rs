//! Reads a request: the document, its variables, the operation's name and its extensions.

use std::borrow::Cow;
use std::collections::HashMap;

use async_graphql::{Request, Value, Variables};
use serde::Deserialize;

/// Why a request cannot be read. It is answered with 400 and this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The body is not JSON, or not an object with the known members.
    #[error("the request is not a GraphQL request: {0}")]
    Malformed(String),
    /// The body is a list of requests.
    #[error("send one request at a time; a list of them is not served")]
    Batch,
    /// There is no document.
    #[error("the request has no `query`")]
    NoQuery,
}

/// The members of a request. Unknown members are allowed by the draft, and ignored.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    query: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "operationName")]
    operation_name: Option<Cow<'a, str>>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Reads the body of a POST.
///
/// # Errors
/// [`Unreadable`].
pub fn from_body(body: &[u8]) -> Result<Request, Unreadable> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return Err(Unreadable::Batch);
    }
    request(serde_json::from_slice(body).map_err(|error| malformed(&error))?)
}

/// Reads the query string of a GET.
///
/// # Errors
/// [`Unreadable`].
pub fn from_query(query: &str) -> Result<Request, Unreadable> {
    let mut given = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if given.insert(name.clone(), value).is_some() {
            return Err(Unreadable::Malformed(format!("{name:?} is given more than once")));
        }
    }
    let mut take = |name: &str| given.remove(name).filter(|value| !value.is_empty());
    let json = |text: Option<Cow<'_, str>>| {
        text.map_or(Ok(None), |text| serde_json::from_str(&text).map_err(|error| malformed(&error)))
    };
    request(Members {
        query: take("query"),
        operation_name: take("operationName"),
        variables: json(take("variables"))?,
        extensions: json(take("extensions"))?,
    })
}

fn request(members: Members<'_>) -> Result<Request, Unreadable> {
    let query = members.query.filter(|query| !query.trim().is_empty());
    let mut request = Request::new(query.ok_or(Unreadable::NoQuery)?);
    request.operation_name = members.operation_name.map(Cow::into_owned);
    if let Some(variables) = members.variables {
        request.variables = Variables::from_json(serde_json::Value::Object(variables));
    }
    for (name, value) in members.extensions.into_iter().flatten() {
        request
            .extensions
            .0
            .insert(name, Value::from_json(value).map_err(|error| malformed(&error))?);
    }
    Ok(request)
}

fn malformed(error: &serde_json::Error) -> Unreadable {
    Unreadable::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_request_is_read_from_a_body_and_from_a_query_string() {
        let body = br#"{"query": "{ a }", "operationName": "x", "variables": {"b": 1},
            "extensions": {"c": 2}, "z": 0}"#;
        let query = "query=%7B+a+%7D&operationName=x&variables=%7B%22b%22%3A1%7D\
            &extensions=%7B%22c%22%3A2%7D&z=0";
        for request in [from_body(body).unwrap(), from_query(query).unwrap()] {
            assert_eq!(request.query, "{ a }");
            assert_eq!(request.operation_name.as_deref(), Some("x"));
            assert_eq!(serde_json::to_string(&request.variables).unwrap(), r#"{"b":1}"#);
            assert_eq!(serde_json::to_string(&request.extensions).unwrap(), r#"{"c":2}"#);
        }
        let nulls = br#"{"query": "{ a }", "operationName": null, "variables": null}"#;
        for request in [from_body(nulls).unwrap(), from_query("query={a}&variables=").unwrap()] {
            assert_eq!((request.operation_name, request.variables.len()), (None, 0));
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let malformed =
            |text: &str| matches!(from_body(text.as_bytes()), Err(Unreadable::Malformed(_)));
        for text in [
            "",
            "{",
            "7",
            "null",
            "\"q\"",
            r#"{"query": 7}"#,
            r#"{"query": "{a}"} x"#,
            r#"{"query": "{a}", "variables": []}"#,
            r#"{"query": "{a}", "variables": "{}"}"#,
            r#"{"query": "{a}", "operationName": {}}"#,
            r#"{"query": "{a}", "extensions": 0}"#,
            r#"{"query": "{a}", "query": "{b}"}"#,
        ] {
            assert!(malformed(text), "{text}");
        }
        for text in [r#"[{"query": "{a}"}]"#, " []"] {
            assert_eq!(from_body(text.as_bytes()).unwrap_err(), Unreadable::Batch);
        }
        for text in ["{}", r#"{"query": null}"#, r#"{"query": " "}"#] {
            assert_eq!(from_body(text.as_bytes()).unwrap_err(), Unreadable::NoQuery);
        }
        assert_eq!(from_query("").unwrap_err(), Unreadable::NoQuery);
        for text in ["query={a}&query={b}", "query={a}&variables=7", "query={a}&variables=%7B"] {
            assert!(matches!(from_query(text), Err(Unreadable::Malformed(_))), "{text}");
        }
    }
}
