//! The access matrix: each operation of each version's document, asked by everybody.
//!
//! The operations come from the documents, the expected answers from the tables, which are written
//! by hand. An operation without a row fails the test, and so does a row without an operation. An
//! operation that both versions have answers in both as the first table says. The requests are dry
//! runs, so that each meets the same state.

use std::collections::BTreeSet;

use access::Grants;
use axum::body::Body;
use axum::http::Request;
use command_api::http::{Version, document};
use identity::Subject;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Two;
use crate::support::json_request;
use crate::support::tokens::{ADMIN, By as _, expired, of_session, role};

/// Who asks, in the order of the answers in [`TABLE`]. The owner is Ada. `revoked` is a token of
/// hers whose session was ended. `narrow` is one whose scope is `products:read` alone.
pub(super) const CALLERS: [&str; 8] =
    ["anonymous", "stranger", "owner", "support", "admin", "expired", "revoked", "narrow"];

/// An operation and the statuses of its answers.
type Row = (&'static str, &'static str, [u16; 8]);

/// The statuses of each operation of version 1.
const TABLE: &[Row] = &[
    // One line each.
    ("delete", "/api/v1/orders/{id}/lines/{line_id}", [401, 404, 404, 404, 404, 401, 401, 403]),
    ("delete", "/api/v1/users/{id}", [401, 404, 200, 403, 200, 401, 401, 403]),
    (
        "delete",
        "/api/v1/users/{id}/addresses/{address_id}",
        [401, 404, 404, 403, 404, 401, 401, 403],
    ),
    ("patch", "/api/v1/products/{id}", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("patch", "/api/v1/users/{id}", [401, 404, 200, 403, 200, 401, 401, 403]),
    // Each command in it has its own answer (commands.rs).
    ("post", "/api/v1/commands", [200, 200, 200, 200, 200, 401, 401, 200]),
    ("post", "/api/v1/orders", [401, 422, 200, 200, 200, 401, 401, 403]),
    ("post", "/api/v1/orders/import", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/cancel", [401, 404, 200, 200, 200, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/confirm", [401, 404, 200, 200, 200, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/lines", [401, 404, 200, 200, 200, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/deliver", [401, 403, 403, 409, 409, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/record-payment", [401, 403, 403, 409, 409, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/refund", [401, 403, 403, 409, 409, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/request-payment", [401, 404, 409, 409, 409, 401, 401, 403]),
    ("post", "/api/v1/orders/{id}/ship", [401, 403, 403, 409, 409, 401, 401, 403]),
    ("post", "/api/v1/products", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/products/{id}/stock", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/products/{id}/stock/move", [401, 403, 403, 403, 422, 401, 401, 403]),
    ("post", "/api/v1/products/{id}/stock/receive", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/users", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/users/{id}/addresses", [401, 404, 200, 403, 200, 401, 401, 403]),
    ("post", "/api/v1/users/{id}/orders", [401, 404, 200, 200, 200, 401, 401, 403]),
    ("post", "/api/v1/users/{id}/reactivate", [401, 404, 409, 403, 409, 401, 401, 403]),
    ("put", "/api/v1/orders/{id}/shipping-address", [401, 404, 200, 200, 200, 401, 401, 403]),
    ("put", "/api/v1/pricing/discounts", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("put", "/api/v1/pricing/taxes", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("put", "/api/v1/products/{id}", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("put", "/api/v1/products/{id}/rate-class", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("put", "/api/v1/users/{id}", [401, 404, 200, 403, 200, 401, 401, 403]),
    ("put", "/api/v1/users/{id}/addresses/{address_id}", [401, 404, 404, 403, 404, 401, 401, 403]),
    ("put", "/api/v1/users/{id}/customer-type", [401, 403, 403, 403, 200, 401, 401, 403]),
];

/// The paths of version 1 that version 2 does not have.
const ONLY_V1: [&str; 1] = ["/api/v1/products/{id}/stock"];

/// The statuses of each operation that only version 2 has.
const ONLY_V2: &[Row] = &[
    // One line each.
    ("patch", "/api/v2/users/{id}/preferences", [401, 404, 200, 403, 200, 401, 401, 403]),
    ("patch", "/api/v2/users/{id}/profile", [401, 404, 200, 403, 200, 401, 401, 403]),
    ("post", "/api/v2/products/{id}/stock/adjust", [401, 403, 403, 403, 200, 401, 401, 403]),
    ("put", "/api/v2/users/{id}/preferences", [401, 404, 200, 403, 200, 401, 401, 403]),
    ("put", "/api/v2/users/{id}/profile", [401, 404, 200, 403, 200, 401, 401, 403]),
];

/// The rows of a version.
fn rows(version: Version) -> Vec<(&'static str, String, [u16; 8])> {
    let only_here: &[Row] = match version {
        Version::V1 => &[],
        Version::V2 => ONLY_V2,
    };
    let shared =
        TABLE.iter().filter(|(_, path, _)| version == Version::V1 || !ONLY_V1.contains(path));
    let of_version = |path: &str| path.replacen("/api/v1/", &format!("{}/", version.prefix()), 1);
    let rows = shared.chain(only_here);
    rows.map(|(method, path, statuses)| (*method, of_version(path), *statuses)).collect()
}

/// A valid body for an operation; null for none. Without ids in it, the examples of its description
/// are enough.
fn body(two: &Two, document: &Value, (method, path): (&str, &str)) -> Value {
    let line = json!({"product_id": two.product, "quantity": 1});
    if path == "/api/v2/orders/import" {
        let mut line = line;
        line["unit_price"] = json!({"amount": "1.00", "currency": "USD"});
        return json!({"user_id": two.ada, "ordered_at": "2020-01-01T00:00:00Z", "lines": [line]});
    }
    // All other bodies without examples are the same in both versions.
    match (method, path.replacen("/api/v2/", "/api/v1/", 1).as_str()) {
        (_, "/api/v1/orders") => json!({"user_id": two.ada, "lines": [line]}),
        (_, "/api/v1/orders/import") => {
            let mut line = line;
            line["unit_price"] = "1.00".into();
            json!({"user_id": two.ada, "ordered_at": "2020-01-01T00:00:00Z", "currency": "USD",
                "lines": [line]})
        }
        (_, "/api/v1/commands") => {
            json!({"commands": [{"type": "cancelOrder", "id": two.order}]})
        }
        // The address in the example is Ada's.
        (_, "/api/v1/users") => json!({"email": "new@example.com", "name": "New"}),
        (_, "/api/v1/orders/{id}/lines") => line,
        (_, "/api/v1/pricing/discounts") => json!({"discounts": []}),
        (_, "/api/v1/pricing/taxes") => json!({"countries": []}),
        // There is no such product.
        (_, "/api/v1/products/{id}/stock/move") => {
            json!({"to_product_id": two.order, "quantity": 1})
        }
        (_, "/api/v1/users/{id}/orders") => json!({"lines": [line]}),
        _ => {
            let body = &document["paths"][path][method]["requestBody"];
            examples(document, &body["content"]["application/json"]["schema"])
        }
    }
}

/// The examples of the fields of an object; null for any other value.
fn examples(document: &Value, schema: &Value) -> Value {
    let Some(reference) = schema["$ref"].as_str() else { return Value::Null };
    let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
    let Some(fields) = schema["properties"].as_object() else { return Value::Null };
    let named = |field: &Value| {
        let reference = field["$ref"].as_str()?.trim_start_matches('#').to_owned();
        document.pointer(&reference).cloned()
    };
    let example = |(name, given): (&String, &Value)| {
        let field = named(given).unwrap_or_else(|| given.clone());
        let listed = field["examples"].get(0).or_else(|| field.get("example"));
        let inside = || Some(examples(document, given)).filter(Value::is_object);
        listed.cloned().or_else(inside).map(|example| (name.clone(), example))
    };
    fields.iter().filter_map(example).collect::<serde_json::Map<_, _>>().into()
}

/// The request for an operation, as a dry run.
pub(super) fn request(two: &Two, document: &Value, method: &str, path: &str) -> Request<Body> {
    let id = match path.split('/').nth(3) {
        Some("users") => &two.ada,
        Some("products") => &two.product,
        _ => &two.order,
    };
    let part = Uuid::nil().to_string();
    let real = path.replace("{id}", id).replace("{line_id}", &part).replace("{address_id}", &part);
    let real = format!("{real}?dry_run=true");
    match body(two, document, (method, path)) {
        Value::Null => {
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(real);
            request.body(Body::empty()).unwrap()
        }
        body => json_request(&method.to_uppercase(), &real, &body),
    }
}

/// Who the callers are.
pub(super) struct Subjects<'a> {
    two: &'a Two,
    revoked: String,
}

impl<'a> Subjects<'a> {
    /// Ends a session of Ada's, so that there is a revoked token.
    pub(super) fn of(two: &'a Two) -> Self {
        let session = Uuid::from_u128(0xdead);
        two.shop.revocations.revoke(Subject::Session(session), identity::Moment::MAX);
        Self { two, revoked: of_session(session, two.ada.parse().unwrap(), Grants::all()) }
    }
}

/// The request with the token of this caller.
pub(super) fn sent_by(
    caller: &str,
    subjects: &Subjects<'_>,
    request: Request<Body>,
) -> Request<Body> {
    let (admin, two) = (ADMIN.to_string(), subjects.two);
    match caller {
        "anonymous" => request.by_nobody(),
        "stranger" => request.by(&two.grace),
        "owner" => request.by(&two.ada),
        "revoked" => request.with_token(&subjects.revoked),
        "support" => request.by_holder_of(&admin, &role("support").grants.to_string()),
        "admin" => request.by_holder_of(&admin, &Grants::all().to_string()),
        "expired" => request.with_token(&expired(two.ada.parse().unwrap(), Grants::all())),
        _ => request.by_holder_of(&two.ada, "products:read"),
    }
}

#[tokio::test]
async fn every_operation_of_every_version_answers_everybody_as_the_table_says() {
    let two = Two::new().await;
    let subjects = Subjects::of(&two);
    for version in Version::ALL {
        let document = serde_json::to_value(document(version)).unwrap();
        let rows = rows(version);
        // What is below it has a table in `auth/matrix.rs`.
        let identity = format!("{}/auth/", version.prefix());
        let paths = document["paths"].as_object().unwrap().iter();
        let paths = paths.filter(|(path, _)| !path.starts_with(&identity));
        let operations: BTreeSet<(&str, &str)> = paths
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str()))
            })
            .collect();
        let listed = rows.iter().map(|(method, path, _)| (*method, path.as_str())).collect();
        assert_eq!(operations, listed, "each operation has a row in the tables of this file");
        for (method, path, expected) in &rows {
            let described = &document["paths"][path][method]["responses"];
            for (caller, status) in CALLERS.iter().zip(expected) {
                let request = sent_by(caller, &subjects, request(&two, &document, method, path));
                let reply = two.shop.send(request).await;
                assert_eq!(reply.status, *status, "{caller}: {method} {path}: {:#}", reply.body);
                let is_described = described[status.to_string()].is_object();
                assert!(is_described, "{method} {path} lacks {status}");
                let is_challenged = matches!(status, 401 | 403);
                let header = reply.header("www-authenticate");
                assert_eq!(!header.is_empty(), is_challenged, "{caller}: {method} {path}");
            }
        }
    }
}
