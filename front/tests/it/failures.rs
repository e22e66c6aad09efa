//! An API that is away, silent, broken or busy: the client is told which one, and the other one is
//! reached as before.

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use front::UpstreamLimits;
use local_servers::{in_time, until};
use service_kit::http::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Double, PLENTY, Served, Setup, TestFront, described};

/// A double of the command API whose operation takes as long as the test wants.
fn held() -> (Double, mpsc::UnboundedReceiver<()>, &'static Semaphore) {
    let let_go: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let (reach, reached) = mpsc::unbounded_channel();
    let handler = async move || {
        reach.send(()).unwrap();
        let_go.acquire().await.unwrap().forget();
        "let go"
    };
    let routes = Router::new().route("/api/v1/held", post(handler));
    let documents = [described(&[("post", "/api/v1/held")])];
    (Double::new(&documents, None, routes), reached, let_go)
}

fn queries() -> Double {
    let routes = Router::new().route("/api/v1/things", get(async || "a list"));
    Double::new(&[described(&[("get", "/api/v1/things")])], None, routes)
}

#[tokio::test]
async fn p8_while_the_command_api_is_away_queries_are_answered() {
    let (commands, _reached, _) = held();
    let (at_commands, at_queries) = (commands.serve().await, queries().serve().await);
    let (address, query) = (at_commands.address, at_queries.address);
    let front = TestFront::start(address, query, Setup::default()).await;
    at_commands.stop().await;
    until("the front says who is away", async || !front.component("command_api").0).await;
    let away = front.post("/api/v1/held", "{}").await;
    assert_eq!(away.is_problem(503, "api/away").header("retry-after"), "1");
    assert!(away.text.contains("the command API cannot be reached; nothing was changed"));
    assert_eq!(front.get("/api/v1/things").await.text, "a list");
    assert!(front.health.report().ready, "{:?}", front.health.report());
}

#[tokio::test]
async fn a_front_that_starts_without_the_command_api_serves_queries_and_finds_it_later() {
    let (commands, mut reached, let_go) = held();
    let at_queries = queries().serve().await;
    // The port is taken, and nobody accepts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let front = TestFront::begin(address, at_queries.address, Setup::default()).await;
    let list = async || front.get("/api/v1/things").await.text == "a list";
    until("queries are answered", list).await;
    // A path that is not known may be one of the API that is away.
    front.get("/api/v1/nothing").await.is_problem(503, "api/unknown");
    front.post("/api/v1/held", "{}").await.is_problem(503, "api/unknown");
    until("the front is ready without it", async || front.health.report().ready).await;

    let listener = TcpListener::bind(address).await.unwrap();
    let at_commands = Served::on(listener, commands.routes.clone(), Limits::default());
    let_go.add_permits(Semaphore::MAX_PERMITS / 2);
    let found = async || front.post("/api/v1/held", "{}").await.status == StatusCode::OK;
    until("commands are taken", found).await;
    in_time("the command", reached.recv()).await.unwrap();
    front.get("/api/v1/nothing").await.is_problem(404, "not-found");
    at_commands.stop().await;
}

#[tokio::test]
async fn an_api_that_takes_too_long_is_answered_for_in_time() {
    let (commands, mut reached, let_go) = held();
    let (at_commands, at_queries) = (commands.serve().await, queries().serve().await);
    let upstream = UpstreamLimits { deadline: Duration::from_millis(300), ..PLENTY };
    let setup = Setup { upstream, ..Setup::default() };
    let front = TestFront::start(at_commands.address, at_queries.address, setup).await;
    let since = Instant::now();
    let late = front.post("/api/v1/held", "{}").await;
    assert_eq!(late.is_problem(504, "api/late").header("retry-after"), "1");
    assert!(late.text.contains("try again with the same idempotency key"), "{late:?}");
    assert!(since.elapsed() >= upstream.deadline);
    in_time("the request", reached.recv()).await.unwrap();
    let_go.add_permits(1);
}

#[tokio::test]
async fn the_time_in_which_a_body_comes_counts() {
    let (commands, mut reached, let_go) = held();
    let (at_commands, at_queries) = (commands.serve().await, queries().serve().await);
    let (deadline, pause) = (Duration::from_secs(3), Duration::from_secs(2));
    let setup = Setup { upstream: UpstreamLimits { deadline, ..PLENTY }, ..Setup::default() };
    let front = TestFront::start(at_commands.address, at_queries.address, setup).await;
    let since = Instant::now();
    let mut client = TcpStream::connect(front.served.address).await.unwrap();
    let head = "POST /api/v1/held HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: 2\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    // A client is slow.
    tokio::time::sleep(pause).await;
    client.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    in_time("the answer", client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("api/late"), "{answer}");
    let took = since.elapsed();
    assert!(took >= deadline && took < deadline + pause, "{took:?}");
    in_time("the request", reached.recv()).await.unwrap();
    let_go.add_permits(1);
}

#[tokio::test]
async fn one_busy_api_takes_no_place_from_the_other() {
    let (commands, mut reached, let_go) = held();
    let (at_commands, at_queries) = (commands.serve().await, queries().serve().await);
    let setup = Setup { upstream: UpstreamLimits { requests: 1, ..PLENTY }, ..Setup::default() };
    let front = TestFront::start(at_commands.address, at_queries.address, setup).await;
    let other = async {
        in_time("the first request", reached.recv()).await.unwrap();
        let busy = front.post("/api/v1/held", "{}").await;
        assert_eq!(busy.is_problem(503, "api/busy").header("retry-after"), "1");
        assert_eq!(front.get("/api/v1/things").await.text, "a list");
        let_go.add_permits(1);
    };
    let (held, ()) = tokio::join!(front.post("/api/v1/held", "{}"), other);
    assert_eq!(held.text, "let go");
    let_go.add_permits(1);
    let again = async || front.post("/api/v1/held", "{}").await.text == "let go";
    until("its place is free again", again).await;
}

/// An API that describes itself, and closes the connection of any other request without an answer.
/// It counts them.
async fn broken() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, closed) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attend(stream, told.clone()));
        }
    });
    (address, closed)
}

async fn attend(mut stream: TcpStream, told: mpsc::UnboundedSender<String>) {
    let document = described(&[("post", "/api/v1/odd"), ("get", "/api/v1/odd")]).to_string();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 1024];
        match stream.read(&mut part).await {
            Ok(read @ 1..) => head.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = match target.as_str() {
        "/openapi.json" => ("200 OK", document.as_str()),
        "/api/v1/odd" => return drop(told.send(head)),
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn without_an_answer_a_request_that_only_reads_is_sent_once_more_and_no_other() {
    let (address, mut closed) = broken().await;
    let queries = queries().serve().await;
    let front = TestFront::start(address, queries.address, Setup::default()).await;
    for (method, sent, word) in [
        (Method::POST, 1, "whether it did something is not known"),
        (Method::GET, 2, "the command API ended the connection"),
    ] {
        let answer = front.ask(method.clone(), "/api/v1/odd", &[], None).await;
        assert_eq!(answer.is_problem(502, "api/no-answer").header("retry-after"), "1");
        assert!(answer.text.contains(word), "{answer:?}");
        for _ in 0..sent {
            let head = in_time("a request", closed.recv()).await.unwrap();
            assert!(head.starts_with(method.as_str()), "{head}");
        }
        assert!(closed.try_recv().is_err(), "{method} was sent more than {sent} times");
    }
}
