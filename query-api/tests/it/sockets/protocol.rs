//! The protocol: its messages, and what it is closed for.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

use super::{PROTOCOL, Server, opened};
use crate::support::tokens::{admin, with_role};
use crate::support::{App, UserSeed};

const ORDER: &str = "subscription ($id: ID!) { order(id: $id) {
    event id position epoch stale left order { id status }
} }";

#[tokio::test]
async fn an_order_is_followed_over_a_socket_until_the_client_ends_it() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", ORDER, &json!({"id": order})).await;
    let row = socket.event("1", "order").await;
    assert_eq!(
        row,
        json!({"event": "ROW", "id": null, "position": 100, "epoch": app.epoch, "stale": false,
            "left": null, "order": {"id": order, "status": "PENDING"}})
    );
    let complete = socket.event("1", "order").await;
    assert_eq!((&complete["event"], &complete["order"]), (&json!("COMPLETE"), &Value::Null));
    assert!(complete["id"].as_str().unwrap().starts_with("100."), "{complete}");
    for (status, position) in [("confirmed", 101), ("paid", 102)] {
        app.set_status(order, status, position).await;
        let changed = socket.event("1", "order").await;
        assert_eq!(
            (&changed["event"], &changed["position"]),
            (&json!("CHANGED"), &json!(position))
        );
        assert_eq!(changed["order"]["status"], status.to_uppercase());
    }
    socket.send(&json!({"type": "complete", "id": "1"})).await;
    // The id is free again, and what follows is of the new operation alone.
    app.set_status(order, "shipped", 103).await;
    socket.begin("1", ORDER, &json!({"id": order})).await;
    let row = socket.event("1", "order").await;
    assert_eq!((&row["event"], &row["order"]["status"]), (&json!("ROW"), &json!("SHIPPED")));
}

#[tokio::test]
async fn queries_are_answered_too_and_mutations_are_not() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let (_server, mut socket) = opened(&app).await;
    let query = "query ($id: ID!) { order(id: $id) { status user { id } } }";
    socket.begin("q", query, &json!({"id": order})).await;
    let answer = socket.next().await;
    let data = json!({"order": {"status": "PAID", "user": {"id": user}}});
    assert_eq!((&answer["type"], &answer["payload"]["data"]), (&json!("next"), &data));
    assert_eq!(answer["payload"]["extensions"]["meta"]["position"], 100);
    assert_eq!(socket.next().await, json!({"type": "complete", "id": "q"}));
    socket.begin("m", "mutation { placeOrder { id } }", &json!({})).await;
    assert_eq!(socket.error("m").await, "graphql/invalid");
    socket.send(&json!({"type": "ping", "payload": {"a": [1]}})).await;
    assert_eq!(socket.next().await, json!({"type": "pong", "payload": {"a": [1]}}));
}

#[tokio::test]
async fn what_is_no_subscription_ends_with_an_error_and_the_socket_stays() {
    let app = App::silent(1).await;
    let (_server, mut socket) = opened(&app).await;
    let two = "subscription { a: products { event } b: products { event } }";
    let in_fragment = "subscription { ...F } fragment F on Subscription \
        { a: products { event } b: products { event } }";
    for (query, code) in [
        ("subscription { products { nothing } }", "graphql/invalid"),
        ("subscription {", "graphql/invalid"),
        (two, "graphql/invalid"),
        (in_fragment, "graphql/invalid"),
        ("subscription { products @skip(if: true) { event } }", "graphql/invalid"),
        ("subscription { products(first: 0) { event } }", "invalid-content"),
        ("subscription { orders(filter: {userId: \"x\"}) { event } }", "invalid-content"),
        ("subscription { users(filter: {email: \"x\"}) { event } }", "invalid-content"),
        ("subscription { order(id: \"x\") { event } }", "not-found"),
        (
            "subscription { products(consistencyToken: \"x\") { event } }",
            "consistency-token-invalid",
        ),
    ] {
        socket.begin("1", query, &json!({})).await;
        assert_eq!(socket.error("1").await, code, "{query}");
    }
    let fragment = "subscription { ...F } fragment F on Subscription { p: products { event } }";
    socket.begin("1", fragment, &json!({})).await;
    assert_eq!(socket.event("1", "p").await, json!({"event": "COMPLETE"}));
}

#[tokio::test]
async fn a_socket_is_closed_with_the_code_of_the_protocol() {
    let app = App::silent(1).await;
    let server = Server::start(&app.router).await;
    let init = json!({"type": "connection_init"});
    let begin = json!({"type": "subscribe", "id": "1",
        "payload": {"query": "subscription { products { event } }"}});
    let without = |name: &str| {
        let mut message = begin.clone();
        message.as_object_mut().unwrap().remove(name);
        message
    };
    let with = |name: &str, value: Value| {
        let mut message = begin.clone();
        message[name] = value;
        message
    };
    let bad = json!({"type": "connection_init", "payload": {"Authorization": "Bearer x"}});
    let odd = json!({"type": "connection_init", "payload": {"authorization": 7}});
    for (messages, code) in [
        (vec![begin.clone()], 4401),
        (vec![init.clone(), init.clone()], 4429),
        (vec![init.clone(), begin.clone(), begin.clone()], 4409),
        (vec![json!({"type": "start"})], 4400),
        (vec![json!(7)], 4400),
        (vec![init.clone(), without("id")], 4400),
        (vec![init.clone(), without("payload")], 4400),
        (vec![init.clone(), with("id", json!(""))], 4400),
        (vec![init.clone(), with("id", json!("x".repeat(129)))], 4400),
        (vec![init.clone(), with("payload", json!({"query": 7}))], 4400),
        (vec![init.clone(), with("payload", json!([]))], 4400),
        (vec![odd], 4400),
        (vec![bad], 4403),
    ] {
        let mut socket = server.connect(&[PROTOCOL]).await.unwrap();
        for message in &messages {
            socket.send(message).await;
        }
        assert_eq!(socket.closed().await, code, "{messages:?}");
    }
    for (message, code) in [
        (Message::text("{"), 4400),
        (Message::binary(vec![0_u8; 4]), 4400),
        (Message::text("x".repeat(64 * 1024 + 1)), 1009),
    ] {
        use futures::SinkExt as _;
        let mut socket = server.connect(&[PROTOCOL]).await.unwrap();
        socket.stream.send(message).await.unwrap();
        assert_eq!(socket.closed().await, code);
    }
}

#[tokio::test]
async fn a_request_for_a_socket_is_checked_as_any_other() {
    let app = App::silent(1).await;
    let server = Server::start(&app.router).await;
    let refused = async |headers: &[(&str, &str)]| match server.connect(headers).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    };
    let invalid = ("authorization", "Bearer x");
    for (headers, status) in [
        (&[PROTOCOL, ("origin", "https://evil.example")][..], 403),
        (&[PROTOCOL, ("origin", "null")], 403),
        (&[PROTOCOL, ("host", "evil.example")], 421),
        (&[PROTOCOL, invalid], 401),
        (&[PROTOCOL, ("origin", "http://localhost:3000")], 101),
        (&[PROTOCOL], 101),
    ] {
        assert_eq!(refused(headers).await, status, "{headers:?}");
    }
    // Another protocol, or none.
    let legacy = ("sec-websocket-protocol", "graphql-ws, graphql-transport-ws");
    let mut socket = server.connect(&[legacy]).await.unwrap();
    socket.init(None).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    let mut none = server.connect(&[]).await.unwrap();
    assert_eq!(none.closed().await, 4406);
    // By POST, there is no socket.
    let upgrade = axum::http::Request::post("/graphql").header("upgrade", "websocket");
    let upgrade = upgrade.body(axum::body::Body::empty()).unwrap();
    let answer = crate::support::send(&app.router, upgrade).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (405, &json!("web-socket-invalid")));
}

#[tokio::test]
async fn the_caller_is_that_of_the_request_unless_the_first_message_names_another() {
    let app = App::silent(2).await;
    let (ada, grace) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let order = app.add_order(ada, "paid", 0).await;
    let server = Server::start(&app.router).await;
    let bearer = |token: String| format!("Bearer {token}");
    let [hers, others, all] = [with_role(ada, "user"), with_role(grace, "user"), admin()];
    let query = "query ($id: ID!) { order(id: $id) { id } }";
    for (header, message, shown) in [
        (Some(&hers), None, true),
        (None, Some(&hers), true),
        (Some(&hers), Some(&others), false),
        (Some(&others), Some(&all), true),
    ] {
        let header = header.map(|token| bearer(token.clone()));
        let mut headers = vec![PROTOCOL];
        headers.extend(header.as_deref().map(|value| ("authorization", value)));
        let mut socket = server.connect(&headers).await.unwrap();
        socket.init(message.map(String::as_str)).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket.begin("1", query, &json!({"id": order})).await;
        let answer = socket.answer("1").await;
        assert_eq!(answer["order"].is_object(), shown, "{header:?} {message:?} {answer}");
    }
}
