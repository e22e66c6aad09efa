//! The contract of both versions: golden files freeze what an operation answers, over rows that are
//! always the same. Later versions change nothing of it.
//!
//! An operation is frozen by its golden file. `UPDATE_GOLDEN=1` writes the files of all operations:
//! after a change that is meant, and to freeze new ones.

use std::path::PathBuf;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use query_api::http::Version;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::described::document;
use crate::support::rows::fill;
use crate::support::{App, tokens};

/// The rows in each table: some with null, and more than a page of one.
const ROWS: i64 = 8;
/// The headers that clients rely on.
const HEADERS: [&str; 10] = [
    "api-version",
    "cache-control",
    "content-disposition",
    "content-type",
    "data-lag-seconds",
    "data-position",
    "data-stale",
    "etag",
    "link",
    "vary",
];

fn folder(version: Version) -> PathBuf {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    golden.join(format!("v{}", version.number().0))
}

/// The answer to a request, without what differs from one run to the next.
async fn answer(app: &App, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept);
    let request = request.header("authorization", format!("Bearer {}", tokens::admin()));
    let request = request.header("x-request-id", "test-request").body(Body::empty()).unwrap();
    let (parts, body) = app.router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
    for random in ["/meta/epoch", "/meta/lag_seconds"] {
        if let Some(value) = body.pointer_mut(random) {
            *value = json!("…");
        }
    }
    let mut headers = Map::new();
    for name in HEADERS {
        let values = parts.headers.get_all(name).iter().map(|value| value.to_str().unwrap());
        let values: Vec<&str> = values.collect();
        // The tag of an export depends on the epoch.
        let is_random = name == "data-lag-seconds" || name == "etag" && accept != "*/*";
        if !values.is_empty() {
            headers.insert(name.to_owned(), if is_random { json!("…") } else { json!(values) });
        }
    }
    json!({"status": parts.status.as_u16(), "headers": headers, "body": body})
}

/// What an operation answers, by what was asked.
async fn answers(app: &App, path: &str, operation: &Value) -> Value {
    let id = match path.split_once("/{id}") {
        Some((list, _)) => app.get(list).await.ids().swap_remove(0),
        None => String::new(),
    };
    let mut path = path.replace("{id}", &id);
    if operation["operationId"] == "search" {
        path.push_str("?q=train");
    }
    let mut answers = Map::new();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    if parameters.clone().any(|parameter| parameter["name"] == "page_size") {
        let page = format!("{path}?page_size=1&page=1");
        answers.insert("page".to_owned(), answer(app, &page, "*/*").await);
        for accept in ["text/csv", "application/x-ndjson"] {
            answers.insert(accept.to_owned(), answer(app, &path, accept).await);
        }
    }
    answers.insert("all".to_owned(), answer(app, &path, "*/*").await);
    let unknown = format!("{path}{}no_such_parameter=1", separator(&path));
    answers.insert("an unknown parameter".to_owned(), answer(app, &unknown, "*/*").await);
    Value::Object(answers)
}

fn separator(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

#[tokio::test]
async fn what_is_frozen_stays_as_it_is() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    let found = "INSERT INTO search_g1.search (kind, id, name, products, words, position)
        VALUES ('product', md5('train')::uuid, 'Blue Train', '{}', 'Blue Train', 1)";
    sqlx::raw_sql(found).execute(&app.writer).await.unwrap();
    // What rows made from columns do not have.
    let address = json!([{"id": Uuid::from_u128(1), "label": "home", "recipient": "Ada",
        "street": "Ring 1", "city": "Wien", "postal_code": "1010", "country": "AT",
        "region": null}]);
    let sums = json!({"EUR": 1467, "USD": 8715});
    let lines = json!([{"line_id": Uuid::from_u128(2), "product_id": Uuid::from_u128(3),
        "product_name": "=Blue, \"Train\"", "quantity": 2, "unit_price_minor": 1467}]);
    for (statement, value) in [
        ("UPDATE users_g1.users SET addresses = $1", address),
        ("UPDATE users_g1.users SET total_spent = $1, total_refunded = $1", sums.clone()),
        ("UPDATE customers_at_risk_g1.customers_at_risk SET total_spent = $1", sums),
        ("UPDATE orders_g1.orders SET lines = $1, currency = 'EUR'", lines),
    ] {
        sqlx::query(statement).bind(value).execute(&app.writer).await.unwrap();
    }
    sqlx::raw_sql("UPDATE products_g1.products SET currency = 'JPY'")
        .execute(&app.writer)
        .await
        .unwrap();
    sqlx::raw_sql("UPDATE read_model.checkpoints SET complete_until = now()")
        .execute(&app.writer)
        .await
        .unwrap();
    for version in Version::ALL {
        let mut frozen = 0;
        for (path, item) in document(version)["paths"].as_object().unwrap() {
            if !path.starts_with(version.prefix()) {
                continue;
            }
            let operation = &item["get"];
            let file = folder(version)
                .join(format!("{}.json", operation["operationId"].as_str().unwrap()));
            let text = format!("{:#}\n", answers(&app, path, operation).await);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(folder(version)).unwrap();
                std::fs::write(&file, &text).unwrap();
            }
            if let Ok(expected) = std::fs::read_to_string(&file) {
                frozen += 1;
                assert_eq!(text, expected, "{file:?}: UPDATE_GOLDEN=1 updates it");
            }
        }
        let files = std::fs::read_dir(folder(version)).unwrap().count();
        assert!(frozen > 0 && frozen == files, "{frozen} of {files} frozen operations are there");
    }
}
