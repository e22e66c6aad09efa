//! The access matrix: each operation of the document, asked by everybody.
//!
//! The operations come from the document, the expected answers from the table, which is written by
//! hand. An operation without a row fails the test, and so does a row without an operation.

use std::collections::BTreeSet;

use access::Grants;
use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::rows::fill;
use crate::support::tokens::{admin, expired, token, with_role};
use crate::support::{App, send_as};

/// Who asks, in the order of the answers in [`TABLE`]. `narrow` is a token of the owner whose scope
/// is `products:read` alone.
pub(crate) const CALLERS: [&str; 7] =
    ["anonymous", "stranger", "owner", "support", "admin", "expired", "narrow"];

/// The statuses of each operation, also of its live updates, if it has some.
const TABLE: &[(&str, [u16; 7])] = &[
    // One line each.
    ("/api/v1/customers/at-risk", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/audit", [401, 403, 403, 403, 200, 401, 403]),
    ("/api/v1/orders", [401, 200, 200, 200, 200, 401, 403]),
    ("/api/v1/orders/{id}", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/products", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/products/{id}", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/sales/daily", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/sales/funnel", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/sales/products", [401, 403, 403, 200, 200, 401, 403]),
    ("/api/v1/search", [200, 200, 200, 200, 200, 401, 200]),
    ("/api/v1/users", [401, 200, 200, 200, 200, 401, 403]),
    ("/api/v1/users/{id}", [401, 404, 200, 200, 200, 401, 403]),
    ("/api/v1/users/{id}/orders", [401, 404, 200, 200, 200, 401, 403]),
    ("/openapi.json", [200, 200, 200, 200, 200, 401, 200]),
];

/// The operations with live updates.
const LIVE: &[&str] = &[
    "/api/v1/audit",
    "/api/v1/customers/at-risk",
    "/api/v1/orders",
    "/api/v1/orders/{id}",
    "/api/v1/products",
    "/api/v1/products/{id}",
    "/api/v1/sales/daily",
    "/api/v1/sales/funnel",
    "/api/v1/sales/products",
    "/api/v1/users",
    "/api/v1/users/{id}",
    "/api/v1/users/{id}/orders",
];

/// The status of the answer to a request for live updates.
async fn stream(app: &App, token: Option<String>, path: &str) -> u16 {
    let mut request = Request::get(path).header("accept", "text/event-stream");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    answer.status().as_u16()
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
    let document = serde_json::to_value(query_api::http::document()).unwrap();
    let paths: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let rows: BTreeSet<&str> = TABLE.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, rows, "each operation has a row in the table of this file");
    for (path, expected) in TABLE {
        let operations = document["paths"][path].as_object().unwrap().keys();
        assert_eq!(operations.collect::<Vec<_>>(), ["get"], "{path}");
        let (real, owner) = real(&app, path).await;
        for (caller, status) in CALLERS.iter().zip(expected) {
            let request = Request::get(&real).body(Body::empty()).unwrap();
            let answer = send_as(&app.router, token_of(caller, owner).as_deref(), request).await;
            assert_eq!(answer.status, *status, "{caller}: {path}: {:#}", answer.body);
            let described = &document["paths"][path]["get"]["responses"];
            assert!(described[status.to_string()].is_object(), "{path} lacks {status}");
            let is_live = described["200"]["content"]["text/event-stream"].is_object();
            assert_eq!(is_live, LIVE.contains(path), "{path}");
            if is_live {
                let streamed = stream(&app, token_of(caller, owner), &real).await;
                assert_eq!(streamed, *status, "{caller}: the live updates of {path}");
            }
            let is_challenged = matches!(status, 401 | 403);
            assert_eq!(answer.headers.contains_key("www-authenticate"), is_challenged, "{path}");
        }
    }
}
