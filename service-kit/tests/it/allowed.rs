//! What web pages of other sites can send to a port: nothing that changes anything, and nothing
//! under a name that is not the server's.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::any;
use service_kit::http::{Allowed, layered};
use tower::ServiceExt as _;

/// Those that change nothing. OPTIONS is answered by CORS, for any name.
const SAFE: [Method; 2] = [Method::GET, Method::HEAD];
const UNSAFE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn port() -> Router {
    let allowed = Allowed {
        hosts: "api.example.com".parse().unwrap(),
        origins: "https://app.example.com".parse().unwrap(),
    };
    layered(Router::new().route("/", any(async || "done")), &allowed)
}

async fn answer(method: &Method, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = port().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_page_whose_name_leads_here_gets_nothing() {
    for method in SAFE.iter().chain(&UNSAFE) {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example"] {
            // Such a page counts as the same origin.
            let origin = format!("http://{host}");
            let headers = [("host", host), ("origin", origin.as_str())];
            let (status, _) = answer(method, "/", &headers).await;
            assert_eq!(status, 421, "{method} {host}");
        }
        for host in ["api.example.com", "127.0.0.1:8080", "[::1]", "localhost:8080"] {
            let (status, _) = answer(method, "/", &[("host", host)]).await;
            assert_eq!(status, 200, "{method} {host}");
        }
    }
    let (status, code) = answer(&Method::GET, "/", &[("host", "evil.example")]).await;
    assert_eq!((status, code.as_str()), (421, "host-not-allowed"));
    let whole = "http://evil.example/";
    assert_eq!(answer(&Method::GET, whole, &[("host", "127.0.0.1")]).await.0, 421);
    for hosts in [["127.0.0.1", "evil.example"], ["evil.example", "127.0.0.1"]] {
        assert_eq!(answer(&Method::GET, "/", &hosts.map(|host| ("host", host))).await.0, 421);
    }
    for unreadable in ["evil example", "[evil", ""] {
        assert_eq!(answer(&Method::GET, "/", &[("host", unreadable)]).await.0, 421, "{unreadable}");
    }
}

#[tokio::test]
async fn what_a_forwarded_header_says_of_the_name_and_the_scheme_counts_for_nothing() {
    for (host, status) in [("evil.example", 421), ("api.example.com", 200)] {
        for name in ["evil.example", "api.example.com"] {
            let forwarded = format!("for=192.0.2.1;host={name};proto=https");
            let headers = [
                ("host", host),
                ("x-forwarded-host", name),
                ("x-forwarded-proto", "https"),
                ("forwarded", forwarded.as_str()),
            ];
            assert_eq!(answer(&Method::POST, "/", &headers).await.0, status, "{host} {name}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let own = "http://127.0.0.1:8080";
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://app.example.com"] {
        for method in &UNSAFE {
            let headers = [("host", "127.0.0.1:8080"), ("origin", origin)];
            let (status, code) = answer(method, "/", &headers).await;
            assert_eq!((status, code.as_str()), (403, "origin-not-allowed"), "{method} {origin}");
        }
        let headers = [("host", "127.0.0.1:8080"), ("origin", origin)];
        assert_eq!(answer(&Method::GET, "/", &headers).await.0, 200, "it may read what is public");
        for origins in [[origin, own], [own, origin]] {
            let headers = [("host", "127.0.0.1:8080")];
            let headers: Vec<_> =
                headers.into_iter().chain(origins.map(|it| ("origin", it))).collect();
            assert_eq!(answer(&Method::POST, "/", &headers).await.0, 403, "{origins:?}");
        }
    }
    for method in &UNSAFE {
        // As over HTTP/2, without `Host`.
        let target = format!("{own}/");
        assert_eq!(answer(method, &target, &[("origin", own)]).await.0, 200, "{method}");
        let other = [("origin", "https://evil.example")];
        assert_eq!(answer(method, &target, &other).await.0, 403, "{method}");
    }
    for origin in ["https://app.example.com", own] {
        for method in &UNSAFE {
            let headers = [("host", "127.0.0.1:8080"), ("origin", origin)];
            assert_eq!(answer(method, "/", &headers).await.0, 200, "{method} {origin}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_web_socket() {
    let own = "http://127.0.0.1:8080";
    for (origin, status) in
        [("https://evil.example", 403), ("null", 403), ("https://app.example.com", 200), (own, 200)]
    {
        for upgrade in ["websocket", "h2c, WebSocket"] {
            let headers = [("host", "127.0.0.1:8080"), ("origin", origin), ("upgrade", upgrade)];
            assert_eq!(answer(&Method::GET, "/", &headers).await.0, status, "{origin} {upgrade}");
        }
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_use_every_method_that_the_port_takes() {
    for method in &UNSAFE {
        let request = Request::options("/")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method.as_str());
        let response = port().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let methods = response.headers()["access-control-allow-methods"].to_str().unwrap();
        assert!(methods.split(',').any(|allowed| allowed == method.as_str()), "{methods}");
    }
}
