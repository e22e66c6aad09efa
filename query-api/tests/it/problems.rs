//! Tests of the problems that clients see, word for word.

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::support::{Answer, App, send};

/// Compares with `golden/<name>.json`. If a change is intended, copy the shown text there.
fn assert_golden(name: &str, answer: &Answer) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/it/golden/{name}.json"));
    let wanted: Value =
        std::fs::read(&path).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    assert_eq!(
        answer.body,
        wanted,
        "{}:\n{}",
        path.display(),
        serde_json::to_string_pretty(&answer.body).unwrap()
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("x-request-id"), "test-request");
    assert_eq!(answer.status.as_u16(), answer.body["status"]);
}

#[tokio::test]
async fn every_problem_keeps_its_body() {
    let app = App::start().await;
    let absent = "/api/v1/users/019a0000-0000-7000-8000-000000000000";
    assert_golden("not_found", &app.get(absent).await);
    assert_golden("unknown_path", &app.get("/api/v1/nothing").await);
    assert_golden("malformed_id", &app.get("/api/v1/users/17").await);
    assert_golden("unknown_parameter", &app.get("/api/v1/users?colour=red").await);
    assert_golden("invalid_cursor", &app.get("/api/v1/users?cursor=nonsense").await);
    assert_golden("invalid_token", &app.get("/api/v1/users?consistency_token=nonsense").await);
    let behind = app
        .get_with("/api/v1/users", &[("consistency-token", &app.token(101)), ("prefer", "wait=0")])
        .await;
    assert_golden("not_yet_consistent", &behind);
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_are_allowed() {
    let app = App::start().await;
    let request = Request::post("/api/v1/users")
        .header("x-request-id", "test-request")
        .body(Body::from("{}"))
        .unwrap();
    let answer = send(&app.router, request).await;
    assert_golden("method_not_allowed", &answer);
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn an_unprojected_database_is_unavailable_and_not_an_empty_one() {
    let app = App::start().await;
    sqlx::query("DELETE FROM read_model.checkpoints WHERE projection = 'products'")
        .execute(&app.writer)
        .await
        .unwrap();
    let answer = app.get("/api/v1/products").await;
    assert_golden("not_yet_projected", &answer);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(app.get("/api/v1/users").await.status, 200);
}

#[tokio::test]
async fn a_second_token_does_not_lose_against_the_first_in_silence() {
    let app = App::start().await;
    for (first, second) in [(1, 99), (1, 1)] {
        let (first, second) = (app.token(first), app.token(second));
        let headers = [("consistency-token", &*first), ("consistency-token", &*second)];
        let answer = app.get_with("/api/v1/users", &headers).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (400, &"consistency-token-invalid".into()),
            "{answer:?}"
        );
        assert_eq!(answer.body["detail"], "there is more than one consistency token");
    }
}

#[tokio::test]
async fn a_parameters_name_is_compared_once_it_is_decoded() {
    let app = App::start().await;
    for number in 0..3 {
        app.add_product(number).await;
    }
    let answer = app.get("/api/v1/products?%70age=1&page%5Fsize=2&%73ort=n%61me").await;
    assert_eq!((answer.status.as_u16(), answer.ids().len()), (200, 2), "{answer:?}");
    let links = answer.header("link");
    assert!(
        links.contains("page=2") && !links.contains("%70age"),
        "the page that was asked for is replaced: {links}"
    );
    let repeated = app.get("/api/v1/products?%70age=1&page=1").await;
    assert_eq!(
        (repeated.status.as_u16(), &repeated.body["errors"][0]["code"]),
        (422, &"repeated".into())
    );
}
