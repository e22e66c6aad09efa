//! The versions of an API next to each other, called in process without a server.

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, MatchedPath, OriginalUri, Path};
use axum::http::{HeaderMap, Method, Request};
use axum::routing::get;
use http_body_util::BodyExt as _;
use serde_json::Value;
use service_kit::http::{Allowed, ApiVersion, Deprecation, Versions, layered, versioned};
use tower::ServiceExt as _;

async fn thing(
    Extension(ApiVersion(version)): Extension<ApiVersion>,
    OriginalUri(uri): OriginalUri,
    path: MatchedPath,
    Path(id): Path<String>,
) -> String {
    format!("{version} {uri} {} {id}", path.as_str())
}

fn api() -> Router {
    let routes = Router::new()
        .route("/api/v1/things/{id}", get(thing))
        .route("/api/v2/things/{id}", get(thing))
        .route("/api/v2/others/{id}", get(thing))
        .route("/docs", get(async || "docs"));
    let deprecation = Deprecation {
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        sunset: None,
        migration: None,
        successor: "/openapi/v2.json",
    };
    let versions = Versions::up_to(2).deprecating(ApiVersion(1), &deprecation);
    versioned(layered(routes, &Allowed::default()), versions)
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn is_for_any_version(&self) -> bool {
        self.headers.get_all("vary").iter().any(|value| value == "api-version")
    }
}

async fn ask(method: Method, path: &str, versions: &[&str]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for version in versions {
        request = request.header("api-version", *version);
    }
    let response = api().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

#[tokio::test]
async fn the_path_or_the_header_says_which_version_answers_and_the_oldest_one_is_the_default() {
    for (path, header, version, is_named) in [
        ("/api/v1/things/7?a=b", &[][..], 1, true),
        ("/api/v2/things/7?a=b", &[], 2, true),
        ("/api/v1/things/7?a=b", &["1"], 1, true),
        ("/api/v2/things/7?a=b", &["2"], 2, true),
        ("/api/things/7?a=b", &["1"], 1, false),
        ("/api/things/7?a=b", &["2"], 2, false),
        ("/api/things/7?a=b", &[], 1, false),
    ] {
        let answer = ask(Method::GET, path, header).await;
        let seen =
            format!("{version} /api/v{version}/things/7?a=b /api/v{version}/things/{{id}} 7");
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (200, seen.as_str()),
            "{path} {header:?}"
        );
        assert_eq!(answer.header("api-version"), version.to_string(), "{path} {header:?}");
        assert_eq!(answer.is_for_any_version(), !is_named, "{path} {header:?}");
        let is_deprecated = !answer.header("deprecation").is_empty();
        assert_eq!(is_deprecated, version == 1, "{path} {header:?}");
    }
}

#[tokio::test]
async fn a_header_that_names_no_version_or_another_than_the_path_is_refused() {
    for (path, header, code) in [
        ("/api/things/7", &["3"][..], "api-version/unknown"),
        ("/api/things/7", &["0"], "api-version/unknown"),
        ("/api/things/7", &["v1"], "api-version/unknown"),
        ("/api/things/7", &["1", "1"], "api-version/unknown"),
        ("/api/v1/things/7", &["3"], "api-version/unknown"),
        ("/api/v1/things/7", &["2"], "api-version/contradiction"),
        ("/api/v2/things/7", &["1"], "api-version/contradiction"),
        ("/api/nothing", &["3"], "api-version/unknown"),
    ] {
        let answer = ask(Method::GET, path, header).await;
        let problem: Value = serde_json::from_str(&answer.text).unwrap();
        let found = (answer.status, problem["code"].as_str());
        assert_eq!(found, (400, Some(code)), "{path} {header:?}");
        assert!(problem["title"].as_str().unwrap().contains("API-Version"), "{problem}");
        if *header != ["1", "1"] {
            assert!(problem["detail"].as_str().unwrap().contains("1, 2"), "{problem}");
        }
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        let named = path.strip_prefix("/api/v").map_or("", |rest| &rest[..1]);
        assert_eq!(answer.header("api-version"), named, "{path} {header:?}");
    }
}

#[tokio::test]
async fn an_error_of_a_version_names_it_and_what_is_no_version_is_left_alone() {
    for (method, path, header, status, version) in [
        (Method::GET, "/api/v1/nothing", &[][..], 404, "1"),
        (Method::GET, "/api/nothing", &["2"], 404, "2"),
        (Method::DELETE, "/api/things/7", &["2"], 405, "2"),
        (Method::GET, "/api/others/7", &[], 404, "1"),
        (Method::GET, "/api/others/7", &["2"], 200, "2"),
        (Method::GET, "/api/v3/things/7", &["3"], 404, ""),
        (Method::GET, "/docs", &["3"], 200, ""),
        (Method::GET, "/api", &["3"], 404, ""),
    ] {
        let answer = ask(method.clone(), path, header).await;
        let found = (answer.status, answer.header("api-version"));
        assert_eq!(found, (status, version), "{method} {path} {header:?}");
        if status != 200 {
            let problem: Value = serde_json::from_str(&answer.text).unwrap();
            assert_eq!(problem["instance"], path, "the path that the client sent");
        }
    }
}
