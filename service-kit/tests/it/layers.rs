//! The HTTP layers, called in process without a server.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::routing::{get, post};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use service_kit::extract::{Json, Path};
use service_kit::http::{BODY_LIMIT, Origins, RequestId, layered};
use tower::ServiceExt as _;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    #[serde(rename = "name")]
    _name: String,
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn panics() {
    panic!("canary: never shown to clients");
}

fn api() -> Router {
    let routes = Router::new()
        .route("/id", get(async |RequestId(id): RequestId| id))
        .route("/things", post(async |Json(_): Json<Thing>| StatusCode::CREATED))
        .route("/things/{id}", get(async |Path(id): Path<Uuid>| id.to_string()))
        .route("/slow", get(std::future::pending::<()>))
        .route("/panics", get(panics));
    layered(routes, &"loopback".parse::<Origins>().unwrap().into())
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(request: Request<Body>) -> Answer {
    let (parts, body) = api().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn posting(kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/things").header("content-type", kind).body(body.into()).unwrap()
}

#[tokio::test]
async fn a_panic_becomes_a_problem_that_tells_nothing() {
    let answer = send(Request::get("/panics").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (500, &"internal".into()));
    assert!(!answer.text.contains("canary"));
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn bodies_are_refused_for_what_is_wrong_with_them() {
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_LIMIT));
    let streamed = Body::from_stream(futures::stream::iter(
        [large.clone(), large.clone()].map(Ok::<_, std::io::Error>),
    ));
    for (request, status, code) in [
        (posting("application/json", "{\"name\":\"a\"}"), 201, ""),
        (posting("application/json; charset=utf-8", "{\"name\":\"a\"}"), 201, ""),
        (posting("application/json", "{"), 400, "malformed-json"),
        (posting("application/json", "{\"name\":1}"), 422, "invalid-content"),
        (
            posting("application/json", "{\"name\":\"a\",\"role\":\"admin\"}"),
            422,
            "invalid-content",
        ),
        (posting("application/json", "[\"a\"]"), 422, "invalid-content"),
        (posting("text/plain", "{\"name\":\"a\"}"), 415, "unsupported-media-type"),
        (posting("application/json", large), 413, "payload-too-large"),
        (posting("application/json", streamed), 413, "payload-too-large"),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        if status != 201 {
            assert_eq!(answer.json()["code"], code);
            assert_eq!(answer.json()["instance"], "/things");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_a_timeout_and_a_body_that_does_not_come_as_well() {
    let answer = send(Request::get("/slow").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (504, &"timeout".into()));
    let drips = futures::stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, std::io::Error>(" ")
    });
    let answer = send(posting("application/json", Body::from_stream(drips))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (408, &"request-timeout".into()));
}

#[tokio::test]
async fn an_unknown_path_method_or_id_is_a_problem() {
    let answer = send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &"not-found".into()));
    let answer = send(Request::delete("/things").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_eq!(answer.json()["code"], "method-not-allowed");
    let answer = send(Request::get("/things/17").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 404);
}

/// What a browser needs in order to show a refusal to its page, and what protects the page.
#[tokio::test(start_paused = true)]
async fn every_kind_of_refusal_has_the_headers_of_every_layer() {
    let page = "http://localhost:5173";
    let asked = |method: &str, path: &str, headers: &[(&str, &str)], body: Body| {
        let mut request = Request::builder().method(method).uri(path).header("origin", page);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).unwrap()
    };
    let json = ("content-type", "application/json");
    let slow = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let large = "x".repeat(BODY_LIMIT + 1);
    let of_another = posting("application/json", "{}");
    for (request, status) in [
        (asked("GET", "/nowhere", &[], Body::empty()), 404),
        (asked("DELETE", "/things", &[], Body::empty()), 405),
        (asked("GET", "/panics", &[], Body::empty()), 500),
        (asked("GET", "/slow", &[], Body::empty()), 504),
        (asked("POST", "/things", &[json], slow()), 408),
        (asked("POST", "/things", &[json], large.clone().into()), 413),
        (asked("POST", "/things", &[json, ("content-length", "65537")], large.into()), 413),
        (asked("POST", "/things", &[json], "{}".into()), 422),
        (asked("GET", "/id", &[("host", "evil.example")], Body::empty()), 421),
        (asked("GET", "/id", &[("content-encoding", "gzip")], "x".into()), 415),
        (with_origin(of_another, "https://evil.example"), 403),
    ] {
        let is_of_page = request.headers()["origin"] == page;
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"), "{status}");
        assert!(!answer.header("traceparent").is_empty(), "{status}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", if is_of_page { page } else { "" }),
        ] {
            assert_eq!(answer.header(name), value, "{status}");
        }
        assert!(answer.header("vary").contains("origin"), "{status}");
    }
}

fn with_origin(mut request: Request<Body>, origin: &'static str) -> Request<Body> {
    request.headers_mut().insert("origin", HeaderValue::from_static(origin));
    request
}

#[tokio::test]
async fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
    let ask = async |id: &str| {
        let request = Request::get("/id").header("x-request-id", id).body(Body::empty()).unwrap();
        let answer = send(request).await;
        assert_eq!(
            answer.text,
            answer.header("x-request-id"),
            "the handler sees what the client is told"
        );
        answer.text
    };
    assert_eq!(ask("task-17.a_b:c").await, "task-17.a_b:c");
    for id in ["", "with space", "<script>", &"x".repeat(129)] {
        let made = ask(id).await;
        assert!(made.parse::<Uuid>().is_ok(), "{made}");
    }
}

#[tokio::test]
async fn a_trace_is_gone_on_with_under_a_span_of_ours() {
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer =
        send(Request::get("/id").header("traceparent", given).body(Body::empty()).unwrap()).await;
    let told = answer.header("traceparent");
    assert!(
        told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
            && told.ends_with("-01")
            && told != given,
        "{told}"
    );
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_ask_and_others_may_not() {
    let preflight = |origin: &str| {
        Request::options("/things")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .unwrap()
    };
    let answer = send(preflight("http://localhost:5173")).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, "http://localhost:5173")
    );
    let listed = |answer: &Answer, header: &str, names: &str| {
        let listed: Vec<_> = answer.header(header).split(',').map(str::to_owned).collect();
        for name in names.split(' ') {
            assert!(listed.iter().any(|found| found == name), "{name} is not in {listed:?}");
        }
    };
    listed(
        &answer,
        "access-control-allow-headers",
        "accept api-version authorization consistency-token content-type idempotency-key if-match \
         if-none-match prefer traceparent x-request-id",
    );
    let request = Request::get("/id").header("origin", "http://localhost:5173");
    let answer = send(request.body(Body::empty()).unwrap()).await;
    listed(
        &answer,
        "access-control-expose-headers",
        "allow api-version consistency-token deprecation etag idempotent-replayed link location \
         preference-applied ratelimit ratelimit-policy retry-after sunset www-authenticate \
         x-request-id",
    );
    for origin in ["https://evil.example", "null"] {
        assert_eq!(
            send(preflight(origin)).await.header("access-control-allow-origin"),
            "",
            "{origin}"
        );
    }
}
