//! Read your own writes over a socket (P10): the token is in the `extensions` of an operation, and
//! is refused for the same reasons as over HTTP.

use std::time::{Duration, Instant};

use local_servers::until;
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::consistency::{ConsistencyToken, TokenKey};
use uuid::Uuid;

use super::{Socket, opened};
use crate::support::{App, UserSeed, event_at, token_key};

const QUERY: &str = "{ users { nodes { id } } }";
const SUBSCRIPTION: &str = "subscription { users { event user { id } } }";

/// Begins an operation with these `extensions`.
async fn begin(socket: &mut Socket, id: &str, query: &str, extensions: &Value) {
    let payload = json!({"query": query, "extensions": extensions});
    socket.send(&json!({"type": "subscribe", "id": id, "payload": payload})).await;
}

#[tokio::test]
async fn p10_a_query_and_a_subscription_wait_for_the_position_of_their_token() {
    let app = App::start().await;
    let user = UserSeed::number(1);
    let (_server, mut socket) = opened(&app).await;
    let extensions = json!({"consistencyToken": app.token(101), "wait": 10});
    begin(&mut socket, "q", QUERY, &extensions).await;
    begin(&mut socket, "s", SUBSCRIPTION, &extensions).await;
    until("both wait", async || app.watcher.waiting() == 2).await;
    app.add_user(&user).await;
    app.move_to("users", 101).await;
    let (mut answered, mut rows) = (false, 0);
    while !answered || rows == 0 {
        let message = socket.next().await;
        let payload = &message["payload"];
        match (message["id"].as_str(), message["type"].as_str()) {
            (Some("q"), Some("next")) => {
                assert_eq!(payload["data"]["users"]["nodes"], json!([{"id": user.id}]));
                assert_eq!(payload["extensions"]["meta"]["position"], 101);
                answered = true;
            }
            (Some("s"), Some("next")) if payload["data"]["users"]["event"] == "ROW" => {
                assert_eq!(payload["data"]["users"]["user"]["id"], json!(user.id));
                rows += 1;
            }
            (_, kind) => assert_ne!(kind, Some("error"), "{message:#}"),
        }
    }
}

#[tokio::test]
async fn a_token_that_http_refuses_is_refused_over_a_socket_and_at_once() {
    let app = App::start().await;
    let (_server, mut socket) = opened(&app).await;
    let forger = TokenKey::from_secret(&SecretString::from("X".repeat(44))).unwrap();
    let token = |epoch, event_id| ConsistencyToken { epoch, position: 100, event_id };
    let forged = token(app.epoch, event_at(100)).sign(&forger);
    let elsewhere = token(Uuid::nil(), event_at(100)).sign(&token_key());
    let replaced = token(app.epoch, Uuid::now_v7()).sign(&token_key());
    let began = Instant::now();
    for (extensions, code) in [
        (json!({"consistencyToken": forged}), "consistency-token-invalid"),
        (json!({"consistencyToken": 7}), "consistency-token-invalid"),
        (json!({"consistencyToken": elsewhere, "wait": 10}), "consistency-token-other-epoch"),
        (json!({"consistencyToken": replaced, "wait": 10}), "consistency-token-other-epoch"),
        (json!({"consistencyToken": app.token(1), "wait": 11}), "invalid-content"),
        (json!({"consistencyToken": app.token(101), "wait": 0}), "not-yet-consistent"),
    ] {
        for query in [QUERY, SUBSCRIPTION, "subscription { sales { event } }"] {
            begin(&mut socket, "1", query, &extensions).await;
            assert_eq!(socket.error("1").await, code, "{query} {extensions}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Two different tokens are a mistake.
    let both =
        format!("subscription {{ users(consistencyToken: {:?}) {{ event }} }}", app.token(1));
    begin(&mut socket, "1", &both, &json!({"consistencyToken": app.token(2)})).await;
    assert_eq!(socket.error("1").await, "invalid-content");
    begin(&mut socket, "1", &both, &json!({"consistencyToken": app.token(1)})).await;
    assert_eq!(socket.event("1", "users").await["event"], "COMPLETE");
}
