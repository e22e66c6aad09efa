//! The API's description and its routes are the same.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;

use crate::support::{App, send};

#[tokio::test]
async fn every_described_path_is_routed_and_every_wanted_path_is_described() {
    let app = App::start().await;
    let answer = app.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let document = answer.body;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let wanted = [
        "/api/v1/users",
        "/api/v1/users/{id}",
        "/api/v1/users/{id}/orders",
        "/api/v1/orders",
        "/api/v1/orders/{id}",
        "/api/v1/products",
        "/api/v1/products/{id}",
        "/api/v1/sales/daily",
        "/openapi.json",
    ];
    let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    assert!(BTreeSet::from(wanted).is_subset(&described), "{described:?}");
    for path in paths.keys() {
        assert_eq!(paths[path].as_object().unwrap().keys().collect::<Vec<_>>(), ["get"], "{path}");
        let request = Request::delete(path.replace("{id}", "019a0000-0000-7000-8000-000000000000")).body(Body::empty()).unwrap();
        assert_eq!(send(&app.router, request).await.status, 405, "{path} is routed, for GET alone");
    }
}

#[tokio::test]
async fn every_answer_of_a_list_and_a_row_is_described_with_its_problems() {
    let document = serde_json::to_value(query_api::http::document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let responses = operations["get"]["responses"].as_object().unwrap();
        for status in ["200", "400", "404", "409", "422", "500", "503", "504"] {
            assert!(responses[status]["description"].as_str().is_some_and(|text| !text.is_empty()), "{path} {status}");
        }
        assert!(operations["get"]["operationId"].is_string());
    }
}

#[test]
fn every_reference_of_the_description_resolves() {
    let document = serde_json::to_value(query_api::http::document()).unwrap();
    let text = document.to_string();
    let references: BTreeSet<&str> = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.contains("/components/schemas/Problem"));
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
