//! Tests that the document at `/openapi.json` matches the router.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::support::Shop;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

async fn document(shop: &Shop) -> Value {
    shop.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.body
}

#[tokio::test]
async fn the_router_answers_exactly_what_the_document_lists() {
    let shop = Shop::new();
    let document = document(&shop).await;
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let real = path
            .replace("{id}", &uuid::Uuid::nil().to_string())
            .replace("{line_id}", &uuid::Uuid::nil().to_string())
            .replace("{address_id}", &uuid::Uuid::nil().to_string())
            .replace("{session_id}", &uuid::Uuid::nil().to_string())
            .replace("{key_id}", &uuid::Uuid::nil().to_string())
            .replace("{role}", "support");
        for method in METHODS {
            let listed = item.get(method.to_lowercase()).is_some();
            let request = Request::builder().method(method).uri(&real).body(Body::empty()).unwrap();
            let reply = shop.send(request).await;
            assert_eq!(reply.status != 405, listed, "{method} {path}");
            if !listed {
                // Whatever answers GET answers HEAD.
                let allowed = reply.header("allow").split(',').map(str::trim);
                let mut allowed: Vec<_> = allowed.filter(|method| *method != "HEAD").collect();
                let mut expected: Vec<_> =
                    METHODS.into_iter().filter(|m| item.get(m.to_lowercase()).is_some()).collect();
                allowed.sort_unstable();
                expected.sort_unstable();
                assert_eq!(allowed, expected, "{path}");
            }
        }
    }
    assert!(!paths.is_empty());
}

#[tokio::test]
async fn every_answer_that_can_come_is_listed_with_a_description() {
    let document = document(&Shop::new()).await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{place}"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{place} {status}"
                );
            }
            // The operations of identity are no commands: no rule of the shop refuses them.
            let own = if path.starts_with("/api/v1/auth/") { "404" } else { "409" };
            for status in ["400", own, "422", "503"] {
                assert!(operation["responses"].get(status).is_some(), "{place} lacks {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_tag_of_an_operation_is_described_and_no_other() {
    let document = document(&Shop::new()).await;
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let used: BTreeSet<&str> =
        operations.flat_map(|operation| operation["tags"].as_array().unwrap()).map(name).collect();
    let tags = document["tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| !tag["description"].as_str().unwrap_or_default().is_empty()));
    let described: BTreeSet<&str> = tags.iter().map(|tag| name(&tag["name"])).collect();
    assert_eq!(used, described, "declare the tag next to the routes in http/v1/NAME.rs");
}

fn name(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Serialising the document for each request would cost 2.5 ms of CPU.
#[tokio::test]
async fn the_document_is_serialised_once_and_every_answer_shares_its_bytes() {
    let shop = Shop::new();
    let (first, second) = (shop.bytes("/openapi.json").await, shop.bytes("/openapi.json").await);
    assert!(!first.is_empty());
    assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()));
}
