//! The documents and the page of both APIs.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use local_servers::until;
use serde_json::json;
use service_kit::http::Limits;
use tokio::net::TcpListener;

use crate::support::{Double, Served, Setup, TestFront, described};

#[tokio::test]
async fn each_version_has_one_document_and_the_page_shows_them() {
    let first = described(&[("post", "/api/v1/things")]);
    let second = described(&[("post", "/api/v2/things")]);
    let commands = Double::new(&[first, second.clone()], None, Router::new()).serve().await;
    let queries = Double::new(&[described(&[("get", "/api/v1/things")])], None, Router::new());
    let queries = queries.serve().await;
    let front = TestFront::start(commands.address, queries.address, Setup::default()).await;

    let both = front.get("/openapi.json").await;
    assert_eq!(both.header("content-type"), "application/json");
    let operations =
        json!({"/api/v1/things": {"get": {"responses": {}}, "post": {"responses": {}}}});
    assert_eq!(both.json()["paths"], operations);
    assert_eq!(front.get("/openapi/v2.json").await.json(), second);
    front.get("/openapi/v3.json").await.is_problem(404, "not-found");
    let wrong = front.ask(Method::POST, "/openapi.json", &[], Some("{}")).await;
    assert_eq!(wrong.is_problem(405, "method-not-allowed").header("allow"), "GET, HEAD");

    let page = front.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-security-policy").contains("script-src 'self'"), "{page:?}");
    let started = front.get("/docs/swagger-initializer.js").await.text;
    assert!(started.contains("/openapi.json") && started.contains("/openapi/v2.json"), "{started}");
    assert!(!started.contains("/openapi/v3.json"), "{started}");
}

#[tokio::test]
async fn an_operation_that_is_deployed_later_is_found() {
    let double = |paths: &[&str]| {
        let operations: Vec<_> = paths.iter().map(|path| ("get", *path)).collect();
        let routes = Router::new().route("/api/v1/new", get(async || "new"));
        Double::new(&[described(&operations)], None, routes).routes
    };
    let commands = Double::new(&[described(&[])], None, Router::new()).serve().await;
    let queries = Served::start(double(&["/api/v1/old"]), Limits::default()).await;
    let address = queries.address;
    let front = TestFront::start(commands.address, address, Setup::default()).await;
    front.get("/api/v1/new").await.is_problem(404, "not-found");
    queries.stop().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let _queries = Served::on(listener, double(&["/api/v1/old", "/api/v1/new"]), Limits::default());
    until("the new operation is found", async || front.get("/api/v1/new").await.text == "new")
        .await;
}

#[tokio::test]
async fn documents_that_do_not_go_together_are_told_and_not_learnt() {
    let double = || Double::new(&[described(&[("get", "/api/v1/things")])], None, Router::new());
    let (commands, queries) = (double().serve().await, double().serve().await);
    let front = TestFront::begin(commands.address, queries.address, Setup::default()).await;
    let is_told = async || {
        let (_, why) = front.component("descriptions");
        why.contains("both APIs have the operation GET /api/v1/things")
    };
    until("the front says what is wrong", is_told).await;
    assert!(!front.health.report().ready);
}
