//! Endless bodies over HTTP/1 and HTTP/2: the process holds no more bytes than its budget.

use axum::body::Bytes;
use h2::client::SendRequest;
use local_servers::in_time;
use service_kit::http::{BODY_LIMIT, BodyBudget, Limits};
use tokio::net::TcpStream;

use crate::support::{Served, api};

const BUDGET: usize = 4 * BODY_LIMIT;

async fn served() -> (Served, BodyBudget) {
    let bodies = BodyBudget::new(BUDGET);
    (Served::start(api().0, Limits { bodies: bodies.clone(), ..Limits::default() }).await, bodies)
}

async fn until(budget: &BodyBudget, wanted: impl Fn(usize) -> bool) {
    local_servers::until("so many bytes are held", async || wanted(budget.held())).await;
}

fn head(length: usize) -> String {
    format!("POST /body HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn half_sent_bodies_are_held_up_to_the_budget_and_the_next_is_told_to_come_again() {
    let (served, budget) = served().await;
    let half = "x".repeat(BODY_LIMIT - 1);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = served.connect().await;
        client.send(&(head(BODY_LIMIT) + &half)).await;
        clients.push(client);
    }
    until(&budget, |held| held == 4 * (BODY_LIMIT - 1)).await;
    let (status, text) = served.ask(&(head(1000) + &"x".repeat(1000))).await;
    assert_eq!(status, 503, "{text}");
    assert!(
        text.contains("retry-after: 1") && text.contains("\"code\":\"too-many-bodies\""),
        "{text}"
    );
    clients[0].send("x").await;
    assert_eq!(clients[0].answer().await.0, 200, "a body within the budget is read to its end");
    until(&budget, |held| held == 3 * (BODY_LIMIT - 1)).await;
    assert_eq!(served.ask(&(head(1000) + &"x".repeat(1000))).await.0, 200);
    // A client that disconnects frees its bytes.
    drop(clients);
    until(&budget, |held| held == 0).await;
    served.stop().await;
}

#[tokio::test]
async fn what_a_handler_has_read_counts_until_it_is_done_with_it() {
    let (bodies, (router, mut gate)) = (BodyBudget::new(BUDGET), api());
    let limits = Limits { bodies: bodies.clone(), ..Limits::default() };
    let served = Served::start(router, limits).await;
    let mut client = served.connect().await;
    let head = head(1000).replace("/body", "/held");
    client.send(&(head + &"x".repeat(1000))).await;
    gate.reached(1).await;
    assert_eq!(bodies.held(), 1000);
    gate.let_go.add_permits(1);
    assert_eq!(client.answer().await.0, 200);
    until(&bodies, |held| held == 0).await;
    served.stop().await;
}

#[tokio::test]
async fn streams_of_http_2_share_the_budget() {
    let (served, budget) = served().await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let (mut client, connection) =
            h2::client::handshake(TcpStream::connect(served.address).await.unwrap()).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..10 {
            kept.push(begin(&mut client).await);
        }
        kept.push(begin(&mut client).await);
    }
    until(&budget, |held| held > BUDGET - 16 * 1024).await;
    assert!(budget.held() <= BUDGET, "{}", budget.held());
    let (mut client, connection) =
        h2::client::handshake(TcpStream::connect(served.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let (answer, mut body) = begin(&mut client).await;
    body.send_data(Bytes::from(vec![b'x'; 32 * 1024]), true).unwrap();
    let answer = in_time("the answer", answer).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    drop(kept);
    until(&budget, |held| held == 0).await;
    served.stop().await;
}

type Sent = (h2::client::ResponseFuture, h2::SendStream<Bytes>);

/// Sends a request head and the first 16 KiB of an unfinished body.
async fn begin(client: &mut SendRequest<Bytes>) -> Sent {
    let request = axum::http::Request::post("http://localhost/body").body(()).unwrap();
    let (answer, mut body) = in_time("room for a stream", client.clone().ready())
        .await
        .unwrap()
        .send_request(request, false)
        .unwrap();
    body.send_data(Bytes::from(vec![b'x'; 16 * 1024]), false).unwrap();
    (answer, body)
}
