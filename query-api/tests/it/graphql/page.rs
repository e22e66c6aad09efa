//! The page to try queries on.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use graphql_kit::Introspection;
use http_body_util::BodyExt as _;
use query_api::graphql::Settings;
use tower::ServiceExt as _;

use crate::support::{App, with_graphql};

async fn get(router: &Router, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

/// The values of these attributes of a page.
fn references<'p>(page: &'p str, attribute: &'static str) -> impl Iterator<Item = &'p str> {
    page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
}

#[tokio::test]
async fn the_page_needs_no_other_server() {
    let app = App::silent(1).await;
    let (status, headers, page) = get(&app.router, "/graphiql").await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let page = String::from_utf8(page.to_vec()).unwrap();
    let files: Vec<_> = references(&page, "src=\"").chain(references(&page, "href=\"")).collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files.into_iter().filter(|file| *file != "data:,") {
        let (status, headers, content) = get(&app.router, file).await;
        assert_eq!(status, 200, "{file}");
        let is_compressed = headers.get("content-encoding").is_some();
        assert_eq!(is_compressed, content.starts_with(&[0x1f, 0x8b]), "{file}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("http"), "{policy}");
    }
}

#[tokio::test]
async fn the_page_and_the_schema_are_shown_only_if_they_are_turned_on() {
    let app = App::silent(1).await;
    let settings = Settings { introspection: Introspection::Disabled, graphiql: false };
    let closed = with_graphql(app.pools.clone(), app.watcher.clone(), settings);
    assert_eq!(get(&closed, "/graphiql").await.0, 404);
    assert_eq!(get(&closed, "/graphiql/page.js").await.0, 404);
    for query in ["{_service{sdl}}", "{__type(name:\"User\"){name}}", "{usr{id}}"] {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (_, _, answer) = get(&closed, &format!("/graphql?query={query}")).await;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert!(!answer.contains("UserConnection") && !answer.contains("users"), "{answer}");
    }
}
