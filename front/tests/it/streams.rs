//! Answers without an end: they pass as they come and no faster than the client reads, have places
//! of their own, and end with the process.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use front::UpstreamLimits;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use local_servers::{in_time, test_client, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Double, PLENTY, Served, Setup, TestFront, described};

type Events = UnboundedSender<Bytes>;

/// A stream of whatever the test sends. It can be asked for once.
fn stream() -> (Events, MethodRouter) {
    let (send, receive) = unbounded();
    let receive = Arc::new(Mutex::new(Some(receive)));
    let handler = async move || {
        let events: UnboundedReceiver<Bytes> = receive.lock().unwrap().take().unwrap();
        let events = events.map(Ok::<_, Infallible>);
        ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
    };
    (send, get(handler))
}

/// A query API with two streams and a list, and a front before it.
async fn front(upstream: UpstreamLimits) -> (TestFront, [Events; 2], [Served; 2]) {
    let ((one, first), (two, second)) = (stream(), stream());
    let routes = Router::new()
        .route("/api/v1/one", first)
        .route("/api/v1/two", second)
        .route("/api/v1/list", get(async || "a list"));
    let paths = ["/api/v1/one", "/api/v1/two", "/api/v1/list"];
    let documents = [described(&paths.map(|path| ("get", path)))];
    let queries = Double::new(&documents, None, routes).serve().await;
    let commands = Double::new(&[described(&[])], None, Router::new()).serve().await;
    let setup = Setup { upstream, ..Setup::default() };
    let front = TestFront::start(commands.address, queries.address, setup).await;
    (front, [one, two], [commands, queries])
}

fn event(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn events_pass_one_by_one_and_a_client_that_leaves_is_noticed() {
    let (front, [events, _], _apis) = front(PLENTY).await;
    events.unbounded_send(event("data: 1\n\n")).unwrap();
    let mut answer = test_client().get(front.served.url("/api/v1/one")).send().await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(in_time("event 1", answer.chunk()).await.unwrap().unwrap(), "data: 1\n\n");
    events.unbounded_send(event("data: 2\n\n")).unwrap();
    assert_eq!(in_time("event 2", answer.chunk()).await.unwrap().unwrap(), "data: 2\n\n");
    drop(answer);
    let left = async || events.unbounded_send(event(": still there?\n\n")).is_err();
    until("the API notices that the client has left", left).await;
}

#[tokio::test]
async fn streams_take_no_place_from_requests_and_have_a_limit_of_their_own() {
    let upstream = UpstreamLimits { requests: 1, streams: 1, ..PLENTY };
    let (front, [events, _other], _apis) = front(upstream).await;
    events.unbounded_send(event("data: 1\n\n")).unwrap();
    let mut open = test_client().get(front.served.url("/api/v1/one")).send().await.unwrap();
    assert_eq!(in_time("event 1", open.chunk()).await.unwrap().unwrap(), "data: 1\n\n");
    assert_eq!(front.get("/api/v1/list").await.text, "a list");
    let full = front.get("/api/v1/two").await;
    assert_eq!(full.is_problem(503, "api/busy").header("retry-after"), "1");
}

#[tokio::test]
async fn a_short_answer_that_its_client_leaves_unread_takes_no_place_from_others() {
    let (front, _events, _apis) = front(UpstreamLimits { requests: 1, ..PLENTY }).await;
    let stream = TcpStream::connect(front.served.address).await.unwrap();
    // No stream of this client may send anything but heads.
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(stream);
    let (client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = in_time("room for a stream", client.ready()).await.unwrap();
    let list = axum::http::Request::get("http://localhost/api/v1/list").body(()).unwrap();
    let (unread, _) = client.send_request(list, true).unwrap();
    let unread = in_time("the head", unread).await.unwrap();
    assert_eq!(unread.status(), StatusCode::OK);
    assert_eq!(front.get("/api/v1/list").await.text, "a list");
    drop(unread);
    connection.abort();
}

#[tokio::test]
async fn a_stream_ends_when_the_front_drains_and_an_answer_does_not() {
    let (front, [events, _other], _apis) = front(PLENTY).await;
    events.unbounded_send(event("data: 1\n\n")).unwrap();
    let mut open = test_client().get(front.served.url("/api/v1/one")).send().await.unwrap();
    assert_eq!(open.status(), StatusCode::OK);
    assert_eq!(in_time("event 1", open.chunk()).await.unwrap().unwrap(), "data: 1\n\n");
    front.drain.cancel();
    assert_eq!(in_time("the end", open.chunk()).await.unwrap(), None);
    assert_eq!(front.get("/api/v1/list").await.text, "a list");
}

/// The size of a part of an endless answer, in bytes.
const PART: usize = 16 * 1024;
/// What all buffers between the API and the client may hold, in bytes. The most of it is the
/// system's, of two connections.
const MOST_HELD: usize = 24 * 1024 * 1024;
/// After this many looks in a row that find nothing new, nothing moves.
const LOOKS: u32 = 30;

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_the_api_and_fills_no_memory() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = async move || {
        let part = move |()| {
            counted.fetch_add(PART, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from_static(&[0; PART]))
        };
        Body::from_stream(futures::stream::repeat(()).map(part))
    };
    let routes = Router::new().route("/api/v1/endless", get(endless));
    let documents = [described(&[("get", "/api/v1/endless")])];
    let queries = Double::new(&documents, None, routes).serve().await;
    let commands = Double::new(&[described(&[])], None, Router::new()).serve().await;
    let front = TestFront::start(commands.address, queries.address, Setup::default()).await;

    let mut client = TcpStream::connect(front.served.address).await.unwrap();
    client.write_all(b"GET /api/v1/endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut last, mut looks) = (0, 0);
    let stands = async || {
        let now = sent.load(Ordering::SeqCst);
        looks = if now > 0 && now == last { looks + 1 } else { 0 };
        last = now;
        looks >= LOOKS
    };
    until("nothing moves any more", stands).await;
    let held = sent.load(Ordering::SeqCst);
    assert!(held <= MOST_HELD, "{held} bytes were sent for nobody");
    let mut part = vec![0; PART];
    let moves = async || {
        client.read_exact(&mut part).await.unwrap();
        sent.load(Ordering::SeqCst) > held
    };
    until("the API goes on when the client reads", moves).await;
}
