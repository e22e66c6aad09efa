//! Answers over HTTP/2 that a client leaves unread, reads slowly, or waits for.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::routing::get;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use local_servers::in_time;
use service_kit::http::{Allowed, Limits, layered};
use tokio::net::TcpStream;

use crate::support::{Served, api};

/// How long an answer may stay unread here.
const LIMIT: Duration = Duration::from_millis(600);

fn limits() -> Limits {
    Limits { head_deadline: LIMIT / 4, write_deadline: LIMIT, ..Limits::default() }
}

/// A client whose streams have a window of this size.
struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut builder = Builder::new();
        let handshake = builder.initial_window_size(window).handshake(stream);
        let (client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    async fn ask(&mut self, path: &str) -> ResponseFuture {
        let request = Request::get(format!("http://localhost{path}")).body(()).unwrap();
        let mut ready = in_time("room for a stream", self.0.clone().ready()).await.unwrap();
        ready.send_request(request, true).unwrap().0
    }

    async fn body(&mut self, path: &str) -> RecvStream {
        let answer = self.ask(path).await;
        in_time("the head", answer).await.unwrap().into_body()
    }
}

/// All bytes of an answer whose client gives no more room.
async fn read(mut body: RecvStream) -> String {
    let mut read = Vec::new();
    while let Some(bytes) = in_time("bytes", body.data()).await {
        read.extend_from_slice(&bytes.unwrap());
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn an_answer_that_is_left_unread_is_reset_and_the_others_of_its_connection_go_on() {
    let (parts, sent) = futures::channel::mpsc::unbounded::<Result<Bytes, Infallible>>();
    let sent = Arc::new(Mutex::new(Some(sent)));
    let stream = async move || Body::from_stream(sent.lock().unwrap().take().unwrap());
    let routes = Router::new().route("/", get(async || "hello")).route("/stream", get(stream));
    let served = Served::start(layered(routes, &Allowed::default()), limits()).await;
    for window in [0, 1, 4] {
        let mut client = Client::connect(served.address, window).await;
        let (began, mut read) = (Instant::now(), 0);
        let mut unread = client.body("/").await;
        let error = loop {
            match in_time("the end of the answer", unread.data()).await.unwrap() {
                // The client gives no room for more.
                Ok(bytes) => read += bytes.len(),
                Err(error) => break error,
            }
        };
        assert!(error.is_remote() && error.reason() == Some(Reason::CANCEL), "{window}: {error}");
        assert_eq!(read, window as usize);
        assert!(began.elapsed() < LIMIT * 3, "{window}: {:?}", began.elapsed());
        // The connection may be one of a proxy, with other clients.
        let head = in_time("another head", client.ask("/").await).await.unwrap();
        assert_eq!(head.status(), 200, "{window}");
    }
    // A part that is not the last one makes no difference.
    let mut client = Client::connect(served.address, 1).await;
    let mut unread = client.body("/stream").await;
    parts.unbounded_send(Ok(Bytes::from_static(b"first"))).unwrap();
    assert_eq!(in_time("a byte", unread.data()).await.unwrap().unwrap(), "f");
    let end = in_time("the end of the stream", unread.data()).await.unwrap();
    assert_eq!(end.unwrap_err().reason(), Some(Reason::CANCEL));
    assert!(parts.is_closed(), "nobody makes parts that nobody reads");
    served.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_arrives_whole() {
    const WINDOW: u32 = 2 * 1024;
    let whole = "x".repeat(20 * 1024);
    let shown = whole.clone();
    let routes = Router::new().route("/", get(async || shown));
    let served = Served::start(layered(routes, &Allowed::default()), limits()).await;
    let mut client = Client::connect(served.address, WINDOW).await;
    let (began, mut body, mut read) = (Instant::now(), client.body("/").await, Vec::new());
    let mut pace = tokio::time::interval(LIMIT / 4);
    while let Some(bytes) = in_time("bytes", body.data()).await {
        let bytes = bytes.unwrap();
        read.extend_from_slice(&bytes);
        pace.tick().await;
        body.flow_control().release_capacity(bytes.len()).unwrap();
    }
    assert_eq!(read, whole.as_bytes());
    assert!(began.elapsed() > LIMIT, "{:?}", began.elapsed());
    served.stop().await;
}

#[tokio::test]
async fn an_answer_of_the_size_of_the_window_needs_no_more_room() {
    let served = Served::start(api().0, limits()).await;
    let mut client = Client::connect(served.address, 5).await;
    assert_eq!(read(client.body("/").await).await, "hello");
    served.stop().await;
}

#[tokio::test]
async fn an_http_2_answer_that_has_nothing_to_send_stays_open() {
    let (parts, sent) = futures::channel::mpsc::unbounded::<Result<Bytes, Infallible>>();
    let sent = Arc::new(Mutex::new(Some(sent)));
    let stream = async move || Body::from_stream(sent.lock().unwrap().take().unwrap());
    let routes = Router::new().route("/", get(async || "hello")).route("/stream", get(stream));
    let served = Served::start(layered(routes, &Allowed::default()), limits()).await;
    let mut client = Client::connect(served.address, 65_535).await;
    let mut open = client.body("/stream").await;
    parts.unbounded_send(Ok(Bytes::from_static(b"first"))).unwrap();
    assert_eq!(in_time("its first part", open.data()).await.unwrap().unwrap(), "first");
    let began = Instant::now();
    while began.elapsed() < LIMIT * 3 {
        assert_eq!(read(client.body("/").await).await, "hello");
    }
    parts.unbounded_send(Ok(Bytes::from_static(b"second"))).unwrap();
    assert_eq!(in_time("its second part", open.data()).await.unwrap().unwrap(), "second");
    drop((parts, open));
    served.stop().await;
}
