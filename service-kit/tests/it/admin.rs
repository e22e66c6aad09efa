//! The admin port: probes, metrics and the API for operators.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get as route;
use http_body_util::BodyExt as _;
use service_kit::admin;
use service_kit::health::Health;
use service_kit::telemetry::Metrics;
use tower::ServiceExt as _;

async fn get(router: &Router, path: &str) -> (u16, String) {
    let response =
        router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn readiness_follows_the_needed_parts_and_names_what_is_missing() {
    let health = Health::new();
    let router = admin::router(health.clone(), Metrics::detached().unwrap());
    let (database, bus) = (health.component("database"), health.optional_component("bus"));
    assert_eq!(get(&router, "/readyz").await, (503, "not ready: database\n".to_owned()));
    database.ready();
    assert_eq!(get(&router, "/readyz").await, (200, "ready\n".to_owned()));
    bus.not_ready("connection refused");
    let (status, body) = get(&router, "/readyz?verbose").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["components"]["bus"]["reason"]), (200, &"connection refused".into()));
    assert_eq!(body["pid"], std::process::id());
    health.drain();
    assert_eq!(get(&router, "/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(get(&router, "/livez").await.0, 200);
    assert_eq!(get(&router, "/metrics").await.0, 200);
    assert_eq!(get(&router, "/debug").await.0, 404);
}

#[tokio::test]
async fn an_api_for_operators_stands_beside_the_probes_with_the_layers_of_an_api() {
    let api = Router::new().route("/admin/v1/things/{id}", route(async || "a thing"));
    let router = admin::router_with(Health::new(), Metrics::detached().unwrap(), api);
    for path in ["/livez", "/metrics", "/admin/v1/things/7"] {
        assert_eq!(get(&router, path).await.0, 200, "{path}");
    }
    let (status, body) = get(&router, "/admin/v1/others").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["instance"]), (404, &"/admin/v1/others".into()));
    assert!(body["request_id"].is_string(), "{body}");
}
