//! The access matrix: each operation of each version's document, asked by everybody.
//!
//! The operations come from the documents, the expected answers from the table, which is written by
//! hand. An operation without a row fails the test, and so does a row without an operation.

use std::collections::BTreeSet;

use access::Grants;
use axum::body::Body;
use axum::http::Request;
use query_api::http::Version;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::described::document;
use crate::support::rows::fill;
use crate::support::tokens::{admin, expired, token, with_role};
use crate::support::{App, send_as};

/// Who asks, in the order of the answers in [`TABLE`]. `narrow` is a token of the owner whose scope
/// is `products:read` alone.
pub(crate) const CALLERS: [&str; 7] =
    ["anonymous", "stranger", "owner", "support", "admin", "expired", "narrow"];

/// The statuses of each operation of version 1, also of its live updates, if it has some. An
/// operation that both versions have answers in both in the same way.
const TABLE: &[(&str, [u16; 7])] = &[
    // One line each.
    ("/api/v1/customers/at-risk", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/sagas", [401, 403, 403, 403, 200, 401, 403]),
    ("/api/v1/sagas/{id}", [401, 403, 403, 403, 200, 401, 403]),
    ("/api/v1/audit", [401, 403, 403, 403, 200, 401, 403]),
    ("/api/v1/orders", [401, 200, 200, 200, 200, 401, 403]),
    ("/api/v1/orders/{id}", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/orders/{id}/history", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/products", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/products/{id}", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/products/{id}/history", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/sales/daily", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/sales/funnel", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/sales/products", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/search", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/users", [401, 200, 200, 200, 200, 401, 403]),
    ("/api/v1/users/{id}", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/users/{id}/history", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/users/{id}/orders", [401, 404, 200, 200, 200, 401, 403]),
    ("/openapi.json", [200, 200, 200, 200, 200, 401, 200]),
];

/// The operations with live updates, below the prefix of a version.
const LIVE: &[&str] = &[
    "/audit",
    "/customers/at-risk",
    "/orders",
    "/orders/{id}",
    "/products",
    "/products/{id}",
    "/sales/daily",
    "/sales/funnel",
    "/sales/products",
    "/users",
    "/users/{id}",
    "/users/{id}/orders",
    "/users/{id}/preferences",
    "/users/{id}/profile",
];

/// The statuses of each operation that only version 2 has.
const ONLY_V2: &[(&str, [u16; 7])] = &[
    // One line each.
    ("/api/v2/users/{id}/preferences", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v2/users/{id}/profile", [401, 404, 200, 200, 200, 401, 403]),
];

/// The rows of a version.
fn rows(version: Version) -> Vec<(String, [u16; 7])> {
    let only_here: &[(&str, [u16; 7])] = match version {
        Version::V1 => &[],
        Version::V2 => ONLY_V2,
    };
    let of_version = |path: &str| path.replacen("/api/v1/", &format!("{}/", version.prefix()), 1);
    // Version 1 alone has an operation for its document.
    let shared =
        TABLE.iter().filter(|(path, _)| version == Version::V1 || path.starts_with("/api/"));
    shared.chain(only_here).map(|(path, statuses)| (of_version(path), *statuses)).collect()
}

/// The answer to a request for live updates: its status, and whether it is a stream of events.
async fn streamed(app: &App, token: Option<String>, path: &str) -> (u16, bool) {
    let mut request = Request::get(path).header("accept", "text/event-stream");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.headers()["content-type"] == "text/event-stream")
}

/// The path of an existing row, and its owner.
async fn real(app: &App, path: &str) -> (String, Uuid) {
    let Some((list, rest)) = path.split_once("/{id}") else {
        return (path.to_owned(), Uuid::nil());
    };
    let rows = app.get(list).await;
    let row = &rows.body["data"][0];
    let id = |field: &str| row[field].as_str().and_then(|id| id.parse::<Uuid>().ok());
    let own = id("id").unwrap_or_else(|| panic!("{list} has no rows"));
    (format!("{list}/{own}{rest}"), id("user_id").unwrap_or(own))
}

/// The token of a caller.
pub(crate) fn token_of(caller: &str, owner: Uuid) -> Option<String> {
    match caller {
        "anonymous" => None,
        "stranger" => Some(with_role(Uuid::from_u128(1), "user")),
        "owner" => Some(with_role(owner, "user")),
        "support" => Some(with_role(Uuid::from_u128(2), "support")),
        "admin" => Some(admin()),
        "expired" => Some(expired(owner, Grants::all())),
        _ => Some(token(owner, "products:read".parse().unwrap())),
    }
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_table_says() {
    let app = App::silent(1).await;
    fill(&app, 20).await;
    for version in Version::ALL {
        check(&app, version).await;
    }
}

async fn check(app: &App, version: Version) {
    let (document, table) = (document(version), rows(version));
    let paths: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let rows: BTreeSet<&str> = table.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, rows, "each operation has a row in the table of this file");
    for (path, expected) in &table {
        let operations = document["paths"][path].as_object().unwrap().keys();
        assert_eq!(operations.collect::<Vec<_>>(), ["get"], "{path}");
        let (real, owner) = real(app, path).await;
        for (caller, status) in CALLERS.iter().zip(expected) {
            let request = Request::get(&real).body(Body::empty()).unwrap();
            let answer = send_as(&app.router, token_of(caller, owner).as_deref(), request).await;
            assert_eq!(answer.status, *status, "{caller}: {path}: {:#}", answer.body);
            let described = &document["paths"][path]["get"]["responses"];
            assert!(described[status.to_string()].is_object(), "{path} lacks {status}");
            let is_live = described["200"]["content"]["text/event-stream"].is_object();
            let below = path.strip_prefix(version.prefix());
            assert_eq!(is_live, below.is_some_and(|below| LIVE.contains(&below)), "{path}");
            let (seen, is_stream) = streamed(app, token_of(caller, owner), &real).await;
            let is_refused = seen == 406 && !is_live;
            assert!(seen == *status || is_refused, "{caller}: the live updates of {path}: {seen}");
            assert_eq!(is_stream, is_live && *status == 200, "{caller}: {path}");
            let is_challenged = matches!(status, 401 | 403);
            assert_eq!(answer.headers.contains_key("www-authenticate"), is_challenged, "{path}");
        }
    }
}
