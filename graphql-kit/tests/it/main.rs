//! Sockets over connections, with limits that a test can wait for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_graphql::{EmptyMutation, Object, Request, Response, Schema, Subscription};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::any;
use futures::stream::{BoxStream, iter, pending, repeat_with};
use futures::{SinkExt as _, Stream, StreamExt as _};
use graphql_kit::socket::{
    CLOSE_DEADLINE, Closing, Output, Session, SocketLimits, converse, prepared,
};
use local_servers::{in_time, until};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

/// The size of the answers of a client that does not read, in bytes.
const LARGE: usize = 256 * 1024;
/// The size of an answer that no connection holds, in bytes.
const HUGE: usize = 64 * 1024 * 1024;
/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(5);
/// As long as a test can wait.
const SHORT: Duration = Duration::from_millis(200);

struct Query;

#[Object]
impl Query {
    async fn zero(&self) -> i32 {
        0
    }
}

struct Streams;

#[Subscription]
impl Streams {
    /// Nothing, for ever.
    async fn nothing(&self) -> impl Stream<Item = i32> {
        pending()
    }

    /// Three numbers.
    async fn three(&self) -> impl Stream<Item = i32> {
        iter([1, 2, 3])
    }

    /// One text that does not arrive unless it is read.
    async fn huge(&self) -> impl Stream<Item = String> {
        iter(["x".repeat(HUGE)])
    }

    /// Large texts, as fast as they are taken.
    async fn large(&self) -> impl Stream<Item = String> {
        repeat_with(|| "x".repeat(LARGE))
    }
}

type Api = Schema<Query, EmptyMutation, Streams>;

/// Lets everybody ask until told otherwise.
struct Open {
    schema: Api,
    is_revoked: Arc<AtomicBool>,
}

impl Session for Open {
    fn init(&mut self, _: Option<Value>) -> Result<(), Closing> {
        Ok(())
    }

    fn check(&self) -> Result<(), Closing> {
        let is_revoked = self.is_revoked.load(Ordering::SeqCst);
        if is_revoked { Err(Closing::forbidden("revoked")) } else { Ok(()) }
    }

    fn operation(&mut self, request: Request) -> BoxStream<'static, Output> {
        let said = |answer: Response| {
            let is_whole = answer.errors.is_empty();
            if is_whole { Output::Next(answer) } else { Output::Error(answer.errors) }
        };
        self.schema.execute_stream(request).map(said).boxed()
    }
}

/// A server of sockets.
struct Server {
    address: SocketAddr,
    is_revoked: Arc<AtomicBool>,
    stop: CancellationToken,
    /// How its sockets were closed, one after another.
    closed: mpsc::UnboundedReceiver<Option<u16>>,
}

impl Server {
    async fn start(limits: SocketLimits) -> Self {
        let (is_revoked, stop) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let schema = Schema::new(Query, EmptyMutation, Streams);
        let (tell, closed) = mpsc::unbounded_channel();
        let shared = (Arc::clone(&is_revoked), stop.clone());
        let answer = async move |upgrade: WebSocketUpgrade| {
            let session = Open { schema: schema.clone(), is_revoked: Arc::clone(&shared.0) };
            let (stop, tell) = (shared.1.clone(), tell.clone());
            prepared(upgrade).on_upgrade(move |socket| async move {
                let closing = converse(socket, session, limits, stop).await;
                tell.send(closing.map(|closing| closing.code)).unwrap();
            })
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", any(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, is_revoked, stop, closed }
    }

    async fn connect(&self) -> Socket {
        let mut request = format!("ws://{}/", self.address).into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let connection = TcpStream::connect(self.address).await.unwrap();
        Socket(client_async(request, connection).await.unwrap().0)
    }

    /// A socket whose client said who it is.
    async fn open(&self) -> Socket {
        let mut socket = self.connect().await;
        socket.send(&json!({"type": "connection_init"})).await;
        assert_eq!(socket.next().await, json!({"type": "connection_ack"}));
        socket
    }

    /// How the next socket was closed.
    async fn closing(&mut self) -> Option<u16> {
        in_time("the end of a socket", self.closed.recv()).await.unwrap()
    }
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn begin(&mut self, id: &str, field: &str) {
        let query = format!("subscription {{ {field} }}");
        self.send(&json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    async fn next(&mut self) -> Value {
        let next = async {
            loop {
                let read = self.0.next().await;
                match read.unwrap_or_else(|| panic!("the socket has ended")).unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        in_time("a message", next).await
    }
}

const PATIENT: SocketLimits =
    SocketLimits { init: LONG, send: LONG, ping: LONG, check: LONG, operations: 2 };

#[tokio::test]
async fn operations_of_one_socket_say_what_they_have_and_end_on_their_own() {
    let mut server = Server::start(PATIENT).await;
    let mut socket = server.open().await;
    socket.begin("quiet", "nothing").await;
    socket.begin("three", "three").await;
    for number in 1..=3 {
        let next = json!({"type": "next", "id": "three", "payload": {"data": {"three": number}}});
        assert_eq!(socket.next().await, next);
    }
    assert_eq!(socket.next().await, json!({"type": "complete", "id": "three"}));
    socket.begin("again", "nothing").await;
    socket.begin("more", "nothing").await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("more")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "graphql/invalid");
    socket.send(&json!({"type": "complete", "id": "quiet"})).await;
    socket.begin("more", "unknown").await;
    assert_eq!(socket.next().await["payload"][0]["extensions"]["code"], "graphql/invalid");
    socket.0.close(None).await.unwrap();
    assert_eq!(server.closing().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_say_who_it_is_in_time_is_refused() {
    let mut server = Server::start(SocketLimits { init: SHORT, ..PATIENT }).await;
    let _silent = server.connect().await;
    assert_eq!(server.closing().await, Some(4408));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let mut server = Server::start(SocketLimits { send: SHORT, ..PATIENT }).await;
    let mut socket = server.open().await;
    socket.begin("1", "large").await;
    assert_eq!(server.closing().await, None);
    drop(socket);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone_and_one_that_does_stays() {
    let mut server = Server::start(SocketLimits { ping: SHORT, ..PATIENT }).await;
    // It answers pings as long as it reads.
    let mut reading = server.open().await;
    let silent = server.open().await;
    let mut gone = None;
    let is_gone = async || {
        let read = reading.0.next().await;
        assert!(matches!(read, Some(Ok(Message::Ping(_)))), "{read:?}");
        gone = server.closed.try_recv().ok();
        gone.is_some()
    };
    until("the silent client is gone", is_gone).await;
    assert_eq!(gone, Some(None));
    drop(silent);
    reading.begin("1", "three").await;
    assert_eq!(reading.next().await["type"], "next");
}

#[tokio::test]
async fn a_socket_is_closed_when_its_caller_may_ask_no_longer_and_when_the_server_stops() {
    let mut server = Server::start(SocketLimits { check: SHORT, ..PATIENT }).await;
    let mut socket = server.open().await;
    socket.begin("1", "nothing").await;
    server.is_revoked.store(true, Ordering::SeqCst);
    assert_eq!(server.closing().await, Some(4403));
    server.is_revoked.store(false, Ordering::SeqCst);
    let _other = server.open().await;
    server.stop.cancel();
    assert_eq!(server.closing().await, Some(1001));
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_client_that_does_not_read() {
    let mut server = Server::start(PATIENT).await;
    let mut socket = server.open().await;
    socket.begin("1", "huge").await;
    // The server is sending now, and never gets to the end.
    in_time("the begin of the answer", socket.0.get_ref().readable()).await.unwrap();
    let began = Instant::now();
    server.stop.cancel();
    assert_eq!(server.closing().await, Some(1001));
    assert!(began.elapsed() < CLOSE_DEADLINE * 2, "{:?}", began.elapsed());
    drop(socket);
}
