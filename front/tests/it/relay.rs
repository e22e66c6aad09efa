//! Requests and answers pass as they are, apart from what is for one connection only.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use service_kit::Problem;
use service_kit::http::{Allowed, ClientAddress};

use crate::support::{Double, Served, Setup, TestFront, behind_a_proxy, described};

/// A double of the command API.
fn commands() -> Double {
    let documents = [
        described(&[("post", "/api/v1/things"), ("delete", "/api/v1/things/{id}")]),
        described(&[("post", "/api/v2/things")]),
    ];
    let made = async || (StatusCode::CREATED, [("etag", "\"1\""), ("x-more", "yes")], "made");
    let routes = Router::new()
        .route("/api/v1/things", post(made))
        .route("/api/v2/things", post(async || "made by version 2"))
        .route("/.well-known/keys", get(async || "keys"));
    Double::new(&documents, None, routes)
}

/// A double of the query API.
fn queries() -> Double {
    let documents = [described(&[
        ("get", "/api/v1/things"),
        ("get", "/api/v1/things/{thing}"),
        ("get", "/api/v1/who"),
    ])];
    let odd = async || {
        let problem = Problem::conflict("thing/odd", "The thing is odd").detail("it is 7");
        problem.of_request("id", "/")
    };
    let who = async |ClientAddress(address): ClientAddress| format!("{}", address.unwrap());
    let routes = Router::new()
        .route("/api/v1/things", get(async || "a list"))
        .route("/api/v1/things/{id}", get(odd))
        .route("/api/v1/who", get(who));
    Double::new(&documents, None, routes)
}

async fn between(commands: &Served, queries: &Served, setup: Setup) -> TestFront {
    TestFront::start(commands.address, queries.address, setup).await
}

#[tokio::test]
async fn a_request_goes_to_the_api_that_describes_it_and_the_answer_comes_back() {
    let (commands, queries) = (commands(), queries());
    let (at_commands, at_queries) = (commands.serve().await, queries.serve().await);
    let front = between(&at_commands, &at_queries, Setup::default()).await;

    let fields = [("idempotency-key", "k"), ("x-request-id", "mine"), ("te", "trailers")];
    let made = front.ask(Method::POST, "/api/v1/things?a=%20b", &fields, Some("{}")).await;
    assert_eq!((made.status, made.text.as_str()), (StatusCode::CREATED, "made"));
    assert_eq!((made.header("etag"), made.header("x-more")), ("\"1\"", "yes"));
    assert_eq!(made.header("x-request-id"), "mine");
    let (method, target, headers, body) = commands.seen().remove(0);
    assert_eq!(
        (method, target.as_str(), body.as_str()),
        (Method::POST, "/api/v1/things?a=%20b", "{}")
    );
    assert_eq!(headers["idempotency-key"], "k");
    assert_eq!(headers["x-request-id"], "mine");
    assert_eq!(headers["host"], front.served.address.to_string());
    assert!(headers.contains_key("traceparent") && !headers.contains_key("te"), "{headers:?}");

    assert_eq!(front.get("/api/v1/things").await.text, "a list");
    assert_eq!(front.get("/.well-known/keys").await.text, "keys");
    let second = front.ask(Method::POST, "/api/things", &[("api-version", "2")], Some("{}")).await;
    assert_eq!(second.status, StatusCode::NOT_FOUND, "the API decides about it: {second:?}");
    assert_eq!(commands.seen().last().unwrap().1, "/api/things", "the path passes as it was sent");
    let head = front.ask(Method::HEAD, "/api/v1/things", &[], None).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "6"));
}

#[tokio::test]
async fn an_apis_problem_passes_as_it_is_and_what_no_api_has_is_the_fronts() {
    let (commands, queries) = (commands().serve().await, queries().serve().await);
    let front = between(&commands, &queries, Setup::default()).await;
    let odd = front.get("/api/v1/things/7").await;
    assert_eq!(odd.status, StatusCode::CONFLICT);
    let problem = odd.json();
    assert_eq!(problem["code"], "thing/odd");
    assert_eq!(problem["detail"], "it is 7");
    assert_eq!(problem["request_id"], "id");
    front.get("/api/v1/nothing").await.is_problem(404, "not-found");
    front.get("/").await.is_problem(404, "not-found");
    let wrong = front.ask(Method::PUT, "/api/v1/things", &[], None).await;
    assert_eq!(wrong.is_problem(405, "method-not-allowed").header("allow"), "GET, POST, HEAD");
}

#[tokio::test]
async fn limits_hosts_and_origins_are_checked_before_an_api_is_asked() {
    let commands = commands();
    let (at_commands, at_queries) = (commands.serve().await, queries().serve().await);
    let allowed = Allowed { hosts: "shop.example.com".parse().unwrap(), ..Allowed::default() };
    let front = between(&at_commands, &at_queries, Setup { allowed, ..Setup::default() }).await;
    let large = "x".repeat(service_kit::http::BODY_LIMIT + 1);
    front.post("/api/v1/things", &large).await.is_problem(413, "payload-too-large");
    let ask = async |fields: &[(&str, &str)]| {
        front.ask(Method::POST, "/api/v1/things", fields, Some("{}")).await
    };
    ask(&[("host", "evil.example")]).await.is_problem(421, "host-not-allowed");
    ask(&[("origin", "https://evil.example")]).await.is_problem(403, "origin-not-allowed");
    assert!(commands.seen().is_empty(), "{:?}", commands.seen());
    let own = [("host", "shop.example.com"), ("origin", "https://shop.example.com")];
    assert_eq!(ask(&own).await.status, StatusCode::CREATED);
    let (_, _, headers, _) = commands.seen().remove(0);
    assert_eq!(headers["host"], "shop.example.com");
    assert_eq!(headers["origin"], "https://shop.example.com");
}

#[tokio::test]
async fn the_apis_see_the_client_that_the_front_sees_and_believe_nobody_else() {
    let (commands, queries) = (commands().serve().await, queries().serve().await);
    let claimed = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.8")];
    let ask = async |setup| {
        let front = between(&commands, &queries, setup).await;
        front.ask(Method::GET, "/api/v1/who", &claimed, None).await.text
    };
    assert_eq!(ask(Setup::default()).await, "127.0.0.1", "a client's word is not believed");
    let behind = Setup { limits: behind_a_proxy(), ..Setup::default() };
    assert_eq!(ask(behind).await, "192.0.2.7", "a trusted proxy's is");
}
