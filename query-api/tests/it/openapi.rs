//! Tests that the API's description matches its routes.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use query_api::http::Version;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::described::{self, documents, lists, rows};
use crate::support::rows::fill;
use crate::support::{App, limited, send};

/// The headers of exports that pages do not have.
const OF_EXPORTS: [&str; 5] =
    ["content-disposition", "data-epoch", "data-lag-seconds", "data-position", "data-stale"];

#[tokio::test]
async fn every_described_path_is_routed_and_every_wanted_path_is_described() {
    let app = App::start().await;
    for version in Version::ALL {
        check(&app, version).await;
    }
}

async fn check(app: &App, version: Version) {
    let answer = app.get(version.document_path()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let document = answer.body;
    assert_eq!(document, described::document(version));
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let wanted = [
        "/api/v1/users",
        "/api/v1/users/{id}",
        "/api/v1/users/{id}/orders",
        "/api/v1/users/{id}/history",
        "/api/v1/orders/{id}/history",
        "/api/v1/products/{id}/history",
        "/api/v1/orders",
        "/api/v1/orders/{id}",
        "/api/v1/products",
        "/api/v1/products/{id}",
        "/api/v1/sales/daily",
        "/api/v1/sales/products",
        "/api/v1/sales/funnel",
        "/api/v1/customers/at-risk",
        "/api/v1/audit",
        "/api/v1/search",
    ];
    let wanted = wanted.map(|path| path.replacen("/api/v1", version.prefix(), 1));
    let described: BTreeSet<_> = paths.keys().cloned().collect();
    assert!(BTreeSet::from(wanted).is_subset(&described), "{described:?}");
    for path in paths.keys() {
        assert_eq!(paths[path].as_object().unwrap().keys().collect::<Vec<_>>(), ["get"], "{path}");
        let request = Request::delete(path.replace("{id}", "019a0000-0000-7000-8000-000000000000"))
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&app.router, request).await.status, 405, "{path} is routed, for GET alone");
    }
}

#[tokio::test]
async fn every_answer_of_a_list_and_a_row_is_described_with_its_problems() {
    let documents = documents();
    let paths = documents.iter().flat_map(|document| document["paths"].as_object().unwrap());
    for (path, operations) in paths {
        let responses = operations["get"]["responses"].as_object().unwrap();
        for status in ["200", "400", "404", "409", "422", "500", "503", "504"] {
            assert!(
                responses[status]["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{path} {status}"
            );
        }
        assert!(operations["get"]["operationId"].is_string());
    }
}

#[tokio::test]
async fn the_headers_of_every_answer_are_described_and_no_others() {
    let mut app = App::silent(1).await;
    // With a limit, answers say what is left.
    app.router = limited(app.pools.clone(), app.watcher.clone(), "1000");
    fill(&app, 5).await;
    let documents = documents();
    let of = |path: &str, status: &str| -> BTreeSet<String> {
        let document = documents.iter().find(|document| document["paths"][path].is_object());
        let operation = &document.unwrap()["paths"][path]["get"];
        let headers = operation["responses"][status]["headers"].as_object().unwrap();
        headers.keys().map(|name| name.to_lowercase()).collect()
    };
    // Headers that every server sends, and those of CORS and browsers, do not belong to these
    // operations.
    let common = [
        "content-type",
        "content-length",
        "traceparent",
        "referrer-policy",
        "x-content-type-options",
        "content-security-policy",
    ];
    let token = app.token(1);
    let mut asked = Vec::new();
    for list in lists() {
        let path = list.real_path(&app).await;
        asked.push((list.path.clone(), format!("{path}?page=1&page_size=1")));
        asked.push((list.path, format!("{path}?page_size=1")));
    }
    for path in rows() {
        let ids = app.get(path.trim_end_matches("/{id}")).await.ids();
        asked.push((path.clone(), path.replace("{id}", &ids[0])));
    }
    for (path, real) in asked {
        let path = path.as_str();
        let answer =
            app.get_with(&real, &[("prefer", "wait=1"), ("consistency-token", &token)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let names = answer.headers.keys().map(|name| name.as_str().to_owned());
        let shown: BTreeSet<String> =
            names.filter(|name| !common.contains(&name.as_str())).collect();
        let mut shown: BTreeSet<String> =
            shown.into_iter().filter(|name| !name.starts_with("access-control-")).collect();
        if path.starts_with("/api/v1/") {
            // While the version is deprecated. Then every answer has a link, too.
            shown.extend(["deprecation", "link", "sunset"].map(str::to_owned));
        }
        // An export has the others of a list.
        if lists().iter().any(|list| list.path == path) {
            shown.extend(OF_EXPORTS.map(str::to_owned));
        }
        assert_eq!(shown, of(path, "200"), "{path}");
        let tag = answer.header("etag").to_owned();
        assert_eq!(app.get_with(&real, &[("if-none-match", &tag)]).await.status, 304);
        assert!(
            of(path, "304").contains("etag")
                && of(path, "412").contains("etag")
                && of(path, "503").contains("retry-after")
        );
    }
}

#[test]
fn every_tag_of_an_operation_is_described_and_no_other() {
    documents().iter().for_each(check_tags);
}

fn check_tags(document: &Value) {
    let operations = document["paths"].as_object().unwrap().values().map(|item| &item["get"]);
    let used: BTreeSet<&str> =
        operations.flat_map(|operation| operation["tags"].as_array().unwrap()).map(name).collect();
    let tags = document["tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| !tag["description"].as_str().unwrap_or_default().is_empty()));
    let described: BTreeSet<&str> = tags.iter().map(|tag| name(&tag["name"])).collect();
    assert_eq!(used, described, "declare the tag next to the routes in http/resource/NAME.rs");
}

fn name(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn every_reference_of_the_descriptions_resolves() {
    documents().iter().for_each(check_references);
}

fn check_references(document: &Value) {
    let text = document.to_string();
    let references: BTreeSet<&str> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.contains("/components/schemas/Problem"));
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_document_is_serialised_once_and_every_answer_shares_its_bytes() {
    let app = App::start().await;
    let bytes = async || {
        let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
        app.router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
    };
    let (first, second) = (bytes().await, bytes().await);
    assert!(!first.is_empty());
    assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()));
}
