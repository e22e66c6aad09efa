//! How many sockets and subscriptions there may be, how slowly a client may read, and how a process
//! ends.

use std::time::Instant;

use futures::StreamExt as _;
use graphql_kit::socket::SocketLimits;
use local_servers::in_time;
use query_api::live::LiveSettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;
use uuid::Uuid;

use super::{PROTOCOL, Server, opened};
use crate::live::events::Events;
use crate::live::limits::{at_rates, limited};
use crate::support::tokens::{admin, with_role};
use crate::support::{App, LIVE, UserSeed};

const PRODUCTS: &str = "subscription { products { event } }";

#[tokio::test]
async fn sockets_and_subscriptions_have_places_among_the_streams_and_give_them_back() {
    let app = limited(LiveSettings { streams: 4, per_client: 3, ..LIVE }).await;
    let server = Server::start(&app.router).await;
    let (one, two) = (with_role(Uuid::from_u128(1), "user"), with_role(Uuid::from_u128(2), "user"));
    let mut socket = server.open(Some(&one)).await;
    for id in ["1", "2"] {
        socket.begin(id, PRODUCTS, &json!({})).await;
        socket.until(id, "products", "COMPLETE").await;
    }
    socket.begin("3", PRODUCTS, &json!({})).await;
    assert_eq!(socket.error("3").await, "too-many-streams-of-client");
    let mut other = server.open(Some(&two)).await;
    other.begin("1", PRODUCTS, &json!({})).await;
    assert_eq!(other.error("1").await, "too-many-streams");
    // What needs no place is answered nevertheless.
    other.begin("q", "{ products { nodes { id } } }", &json!({})).await;
    other.answer("q").await;
    assert_eq!(other.next().await["type"], "complete");
    let full = server.connect(&[PROTOCOL]).await.map(drop).unwrap_err();
    assert!(matches!(&full, Error::Http(answer) if answer.status() == 503), "{full}");
    socket.send(&json!({"type": "complete", "id": "1"})).await;
    socket.send(&json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
    let begins = async || {
        other.begin("2", PRODUCTS, &json!({})).await;
        let message = other.next().await;
        message["type"] == "next"
    };
    local_servers::until("a place is free", begins).await;
}

#[tokio::test]
async fn each_subscription_counts_as_a_request_of_its_operation() {
    let app = at_rates(LIVE, "off, getOrder=1/2").await;
    let server = Server::start(&app.router).await;
    let mut socket = server.open(Some(&admin())).await;
    let order = format!("subscription {{ order(id: \"{}\") {{ event }} }}", Uuid::now_v7());
    for code in ["not-found", "not-found", "rate-limited"] {
        socket.begin("1", &order, &json!({})).await;
        assert_eq!(socket.error("1").await, code);
    }
}

#[tokio::test]
async fn each_message_counts_as_a_request_even_if_it_asks_nothing() {
    let app = at_rates(LIVE, "1/2").await;
    let server = Server::start(&app.router).await;
    let mut socket = server.open(Some(&admin())).await;
    let mut answered = 0;
    let refused = loop {
        socket.begin("1", "{ __typename }", &json!({})).await;
        let message = socket.next().await;
        if message["type"] != "next" || answered == 5 {
            break message;
        }
        assert_eq!(socket.next().await["type"], "complete");
        answered += 1;
    };
    assert_eq!(refused["payload"][0]["extensions"]["code"], "rate-limited", "{refused}");
    assert!(answered <= 2, "{answered}");
}

#[tokio::test]
async fn a_socket_that_nobody_reads_keeps_no_turn_from_other_streams() {
    let app = limited(LIVE).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let (_server, mut socket) = opened(&app).await;
    let many = (0..20).map(|n| format!("o{n}: order {{ id items {{ productName }} }} "));
    let query = format!(
        "subscription ($id: ID!) {{ order(id: $id) {{ event order {{ user {{ id }} }} {} }} }}",
        many.collect::<String>()
    );
    let ids: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    for id in &ids {
        socket.begin(id, &query, &json!({"id": order})).await;
        socket.until(id, "order", "COMPLETE").await;
    }
    // Each has an event now, and asks what is below it. The connection holds only a few of them.
    let lines = json!([{"line_id": Uuid::from_u128(1), "product_id": Uuid::from_u128(2),
        "product_name": "x".repeat(30_000), "quantity": 2, "unit_price_minor": 1467}]);
    let began = Instant::now();
    app.change("orders", order, (&format!("lines = '{lines}'"), 101), 101).await;
    in_time("an event", socket.stream.get_ref().readable()).await.unwrap();
    let mut other = Events::of(&app, &format!("/api/v1/orders/{order}")).await;
    other.snapshot().await;
    // Later, the socket is dropped.
    assert!(began.elapsed() < SocketLimits::default().send / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_socket_has_so_many_operations_at_once() {
    let app = App::silent(1).await;
    let (_server, mut socket) = opened(&app).await;
    for id in 0..50 {
        let id = id.to_string();
        socket.begin(&id, PRODUCTS, &json!({})).await;
        socket.until(&id, "products", "COMPLETE").await;
    }
    socket.begin("more", PRODUCTS, &json!({})).await;
    assert_eq!(socket.error("more").await, "graphql/invalid");
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_told_and_goes_on_where_it_was() {
    let app = limited(LiveSettings { buffer_bytes: 64 * 1024, ..LIVE }).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let (_server, mut socket) = opened(&app).await;
    // Each message is large, so that the connection holds few of them.
    let many = (0..40).map(|n| format!("o{n}: order {{ id items {{ productName }} }} "));
    let query = format!(
        "subscription ($id: ID!, $after: String) {{ order(id: $id, lastEventId: $after) \
            {{ event id position {} }} }}",
        many.collect::<String>()
    );
    socket.begin("1", &query, &json!({"id": order})).await;
    let name = "x".repeat(20_000);
    let lines = json!([{"line_id": Uuid::from_u128(1), "product_id": Uuid::from_u128(2),
        "product_name": name, "quantity": 2, "unit_price_minor": 1467}]);
    let set = format!("lines = '{lines}'");
    let mut last = 100;
    let mut fast = Events::of(&app, &format!("/api/v1/orders/{order}")).await;
    fast.snapshot().await;
    // Nobody reads the socket until the hub has dropped it.
    for position in 101..=140 {
        app.change("orders", order, (&set, position), position).await;
        assert_eq!(fast.event().await.unwrap().name, "changed");
        last = position;
    }
    let (mut id, mut seen, mut end) = (json!(null), Vec::new(), json!(null));
    while end.is_null() {
        let mut message = socket.next().await;
        if message["type"] == "error" {
            end = message["payload"][0]["extensions"]["code"].take();
        } else {
            let event = &message["payload"]["data"]["order"];
            seen.push(event["position"].as_i64().unwrap());
            id = event["id"].clone();
        }
    }
    assert_eq!(end, "too-slow");
    assert!(seen.last() < Some(&last), "{seen:?}");
    assert!(
        seen[1..].windows(2).all(|two| two[1] == two[0] + 1),
        "what it got has no gap: {seen:?}"
    );
    socket.begin("2", &query, &json!({"id": order, "after": id})).await;
    let missed = socket.until("2", "order", "RESUMED").await;
    assert_eq!(missed.len(), 2);
    assert_eq!(missed[0]["position"], last, "the row as it is now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_says_so_and_waits_for_its_sockets() {
    let app = App::silent(1).await;
    let settings = [("READ_MODEL_URL", app.database.url()), ("NATS_URL", "nats://127.0.0.1:1")];
    let mut process = crate::process::Process::start(&settings).await;
    process.ready().await;
    let address = process.api.trim_start_matches("http://").parse().unwrap();
    let connect = async || super::connect(address, &[PROTOCOL]).await.unwrap();
    let (mut open, mut silent) = (connect().await, connect().await);
    open.init(Some(&admin())).await;
    assert_eq!(open.next().await["type"], "connection_ack");
    open.begin("1", PRODUCTS, &json!({})).await;
    open.until("1", "products", "COMPLETE").await;
    let stopping = tokio::task::spawn_blocking(|| process.stop());
    for socket in [&mut open, &mut silent] {
        assert_eq!(socket.closed().await, 1001);
        assert!(in_time("the end", socket.stream.next()).await.is_none());
    }
    let (code, log) = stopping.await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("did not finish in time"), "{log}");
}

#[tokio::test]
async fn a_port_that_drains_waits_for_its_sockets() {
    let app = App::silent(1).await;
    let (Server { task, drain, .. }, mut socket) = opened(&app).await;
    drop(drain);
    // Nothing ends the streams of this process, so the client does.
    socket.begin("1", PRODUCTS, &json!({})).await;
    socket.until("1", "products", "COMPLETE").await;
    assert!(!task.is_finished());
    socket.stream.close(None).await.unwrap();
    in_time("the end of the port", task).await.unwrap();
}
