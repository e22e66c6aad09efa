//! The page at `/docs`: whole without any other server.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use http_body_util::BodyExt as _;
use service_kit::http::{Allowed, layered};
use tower::ServiceExt as _;

async fn fetch(path: &str) -> (Response<()>, String) {
    fetch_of(service_kit::docs::routes(), path).await
}

async fn fetch_of(page: Router, path: &str) -> (Response<()>, String) {
    let document = Router::new().route("/openapi.json", get(async || "{}"));
    let port = layered(document.merge(page), &Allowed::default());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = port.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8_lossy(&bytes).into_owned())
}

/// The values of `src` and `href`.
fn links(html: &str) -> Vec<&str> {
    let after = ["src=\"", "href=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    after.filter_map(|text| text.split('"').next()).collect()
}

#[tokio::test]
async fn the_page_and_all_that_it_needs_are_in_the_program() {
    let (moved, _) = fetch("/docs").await;
    assert_eq!(moved.headers()["location"], "/docs/");
    let (page, html) = fetch("/docs/").await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let links = links(&html);
    assert!(links.iter().any(|link| link.contains("bundle.js")), "{html}");
    for link in links {
        assert!(!link.contains("//"), "{link} is on another server");
        let (file, _) = fetch(&format!("/docs/{}", link.trim_start_matches("./"))).await;
        assert_eq!(file.status(), 200, "{link}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn the_page_shows_this_document_and_may_ask_no_other_server() {
    let (script, text) = fetch("/docs/swagger-initializer.js").await;
    assert!(text.contains("\"/openapi.json\""), "{text}");
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    assert!(text.contains("\"validatorUrl\": \"none\""), "{text}");
    for header in [&script, &fetch("/docs/").await.0] {
        let policy = header.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    }
    let (absent, problem) = fetch("/docs/absent.js").await;
    assert_eq!((absent.status().as_u16(), problem.contains("not-found")), (404, true));
}

#[tokio::test]
async fn the_page_of_several_documents_lists_them_and_shows_the_first() {
    let page = service_kit::docs::routes_of([("first", "/openapi.json"), ("second", "/b.json")]);
    let (_, text) = fetch_of(page, "/docs/swagger-initializer.js").await;
    for shown in ["\"/openapi.json\"", "\"/b.json\"", "\"urls.primaryName\": \"first\""] {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
}
