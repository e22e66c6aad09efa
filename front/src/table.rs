//! Which API answers a request: decided by its method and path, from the OpenAPI documents of both.
//!
//! The documents are fetched from the running APIs, at the start and again and again. They are not
//! compiled in, for two reasons: nothing depends on a process's crate, and an API may be deployed
//! without the front. So a new operation needs no new front.
//!
//! A path matches as in the APIs themselves: the same library matches it, byte by byte, without
//! decoding it.

use std::collections::BTreeMap;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::api::Api;
use crate::conflict::Conflict;

/// The paths that no document describes, because they are no operations: by how they begin.
const BEGINNINGS: [(&str, Api); 5] = [
    // What others need to verify access tokens (RFC 8615).
    ("/.well-known", Api::Command),
    // The descriptions of the events.
    ("/asyncapi.json", Api::Command),
    ("/schemas", Api::Command),
    ("/console", Api::Query),
    // The page that asks `/graphql` of its own server, so it gets the schema of both.
    ("/graphiql", Api::Query),
];
/// Where the operations begin.
const PREFIX: &str = "/api/";
/// The version of a path that names none, unless the header does.
const OLDEST: u8 = 1;
const API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// The operations of both APIs.
#[derive(Debug, Default)]
pub(crate) struct Table {
    paths: matchit::Router<Operations>,
}

/// The operations of one path.
#[derive(Debug, Default)]
struct Operations {
    /// The path as the first document has it.
    template: String,
    methods: BTreeMap<String, Api>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// To this API. The text is the template of the path, for metrics.
    Api(Api, &'t str),
    /// The path is there, but for these methods only.
    OtherMethods(String),
    /// No API has the path.
    Nothing,
}

impl Table {
    /// The operations in these documents.
    pub(crate) fn of(documents: &[(Api, &Value)]) -> Result<Self, Conflict> {
        // Two documents may name the same parameter differently.
        let mut paths: BTreeMap<String, Operations> = BTreeMap::new();
        for (api, document) in documents {
            for (template, item) in document["paths"].as_object().into_iter().flatten() {
                let path = paths.entry(unnamed(template)).or_default();
                if path.template.is_empty() {
                    template.clone_into(&mut path.template);
                }
                for method in item.as_object().into_iter().flat_map(serde_json::Map::keys) {
                    let Some(method) = method_of(method) else { continue };
                    let other = path.methods.insert(method.to_string(), *api);
                    if other.is_some_and(|other| other != *api) {
                        return Err(Conflict::Operation(method, template.clone()));
                    }
                }
            }
        }
        let mut table = Self::default();
        for (path, operations) in paths {
            let template = operations.template.clone();
            let inserted = table.paths.insert(path, operations);
            inserted.map_err(|error| Conflict::Path(template, error))?;
        }
        Ok(table)
    }

    /// Where a request with this method, path and header goes.
    pub(crate) fn find(&self, method: &Method, path: &str, headers: &HeaderMap) -> Found<'_> {
        let begins = |beginning: &str| {
            path.strip_prefix(beginning)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some((beginning, api)) = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)) {
            return Found::Api(*api, beginning);
        }
        let Some(operations) = self.operations(path, headers) else { return Found::Nothing };
        let asked = if method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
        match operations.methods.get(asked) {
            Some(api) => Found::Api(*api, &operations.template),
            None => Found::OtherMethods(operations.allowed()),
        }
    }

    fn operations(&self, path: &str, headers: &HeaderMap) -> Option<&Operations> {
        let at = |path: &str| self.paths.at(path).ok().map(|found| found.value);
        let Some(rest) = without_version(path) else { return at(path) };
        // The API says what is wrong with a version that it does not have.
        let of = |version: u8| at(&format!("{PREFIX}v{version}/{rest}"));
        of(asked_version(headers)).or_else(|| of(OLDEST))
    }
}

impl Operations {
    /// The value of `Allow`.
    fn allowed(&self) -> String {
        let head = self.methods.contains_key(Method::GET.as_str()).then_some("HEAD");
        let all: Vec<&str> = self.methods.keys().map(String::as_str).chain(head).collect();
        all.join(", ")
    }
}

/// The path with parameters that are named by their place.
fn unnamed(template: &str) -> String {
    let parts = template.split('/').enumerate().map(|(at, part)| {
        let is_parameter = part.starts_with('{') && part.ends_with('}');
        if is_parameter { format!("{{p{at}}}") } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The method that a key of a path's description stands for. The other keys are no operations.
fn method_of(key: &str) -> Option<Method> {
    Some(match key {
        "get" => Method::GET,
        "put" => Method::PUT,
        "post" => Method::POST,
        "patch" => Method::PATCH,
        "delete" => Method::DELETE,
        "head" => Method::HEAD,
        "options" => Method::OPTIONS,
        _ => return None,
    })
}

/// The rest of an operation's path that names no version.
fn without_version(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(PREFIX)?;
    let first = rest.split('/').next().unwrap_or_default();
    let digits = first.strip_prefix('v').unwrap_or_default();
    let names_one = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (!names_one).then_some(rest)
}

/// The version in the header; the oldest if there is none that can be read.
fn asked_version(headers: &HeaderMap) -> u8 {
    let text = headers.get(API_VERSION).and_then(|value: &HeaderValue| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(OLDEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        let commands = json!({"paths": {
            "/api/v1/users": {"post": {}},
            "/api/v1/users/{id}": {"patch": {}, "delete": {}, "parameters": []},
            "/api/v1/orders/{id}/confirm": {"post": {}},
        }});
        let second = json!({"paths": {"/api/v2/users": {"post": {}}}});
        let queries = json!({"paths": {
            "/api/v1/users": {"get": {}},
            "/api/v1/users/{user}": {"get": {}, "summary": "x"},
            "/api/v1/sales/daily": {"get": {}},
        }});
        let documents =
            [(Api::Command, &commands), (Api::Command, &second), (Api::Query, &queries)];
        Table::of(&documents).unwrap()
    }

    #[test]
    fn a_request_goes_to_the_api_that_describes_it() {
        let (table, none) = (table(), HeaderMap::new());
        for (method, path, api) in [
            (Method::POST, "/api/v1/users", Api::Command),
            (Method::GET, "/api/v1/users", Api::Query),
            (Method::HEAD, "/api/v1/users/7", Api::Query),
            (Method::PATCH, "/api/v1/users/a%2Fb", Api::Command),
            (Method::POST, "/api/v1/orders/7/confirm", Api::Command),
            (Method::POST, "/api/v2/users", Api::Command),
            (Method::GET, "/.well-known/jwks.json", Api::Command),
            (Method::GET, "/asyncapi.json", Api::Command),
            (Method::GET, "/schemas/order.placed/1", Api::Command),
            (Method::GET, "/console", Api::Query),
            (Method::GET, "/graphiql/page.js", Api::Query),
        ] {
            let found = table.find(&method, path, &none);
            assert!(matches!(found, Found::Api(of, _) if of == api), "{method} {path}: {found:?}");
        }
        for path in ["/", "/api", "/api/v1/users/", "/api/v1/users/7/8", "/api/v3/users"] {
            assert_eq!(table.find(&Method::GET, path, &none), Found::Nothing, "{path}");
        }
        for path in
            ["/.well-knownish", "/consoles", "/schemas.json", "//api/v1/users", "/api/v1//users"]
        {
            assert_eq!(table.find(&Method::GET, path, &none), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn another_method_is_answered_with_those_of_both_apis() {
        let (table, none) = (table(), HeaderMap::new());
        let allowed = |path| match table.find(&Method::PUT, path, &none) {
            Found::OtherMethods(allowed) => allowed,
            other => format!("{other:?}"),
        };
        assert_eq!(allowed("/api/v1/users/7"), "DELETE, GET, PATCH, HEAD");
        assert_eq!(allowed("/api/v1/orders/7/confirm"), "POST");
    }

    #[test]
    fn a_path_without_a_version_goes_where_that_of_the_version_goes() {
        let table = table();
        let find = |method: Method, path: &str, version: Option<&str>| {
            let header = |text: &str| (API_VERSION, text.parse().unwrap());
            let headers: HeaderMap = version.map(header).into_iter().collect();
            match table.find(&method, path, &headers) {
                Found::Api(api, template) => Some((api, template.to_owned())),
                _ => None,
            }
        };
        let to = |api, template: &str| Some((api, template.to_owned()));
        assert_eq!(find(Method::GET, "/api/users", None), to(Api::Query, "/api/v1/users"));
        assert_eq!(find(Method::POST, "/api/users", Some("2")), to(Api::Command, "/api/v2/users"));
        for unknown in ["9", "two", ""] {
            let found = find(Method::POST, "/api/users", Some(unknown));
            assert_eq!(found, to(Api::Command, "/api/v1/users"), "{unknown}");
        }
        assert_eq!(find(Method::POST, "/api/vat", None), None);
    }

    #[test]
    fn an_operation_that_both_apis_claim_is_refused() {
        let one = json!({"paths": {"/api/v1/a/{id}": {"get": {}}}});
        let other = json!({"paths": {"/api/v1/a/{key}": {"get": {}}}});
        let refused = Table::of(&[(Api::Command, &one), (Api::Query, &other)]).unwrap_err();
        assert_eq!(refused.to_string(), "both APIs have the operation GET /api/v1/a/{key}");
        assert!(Table::of(&[(Api::Command, &one), (Api::Command, &one)]).is_ok());
    }
}
