//! A server under test, and clients that send raw bytes.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::{get, post};
use local_servers::in_time;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::http::{Allowed, Limits, layered, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that runs until its drain token is cancelled.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) drain: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(router: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, drain) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, router, limits, drain.clone()));
        Self { address, drain, task }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a request on a new connection; returns the status and the whole answer.
    pub(crate) async fn ask(&self, request: &str) -> (u16, String) {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    /// Drains the server and waits for its end.
    pub(crate) async fn stop(self) {
        self.drain.cancel();
        in_time("the drained port's end", self.task).await.unwrap();
    }
}

/// A connection that sends raw bytes.
pub(crate) struct Client<T = TcpStream>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads one answer with a `Content-Length`, and leaves the connection open.
    pub(crate) async fn answer(&mut self) -> (u16, String) {
        in_time("an answer", async {
            let mut bytes = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .to_lowercase()
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    if body.len() >= length.unwrap_or(0) {
                        return (head.split(' ').nth(1).unwrap().parse().unwrap(), text);
                    }
                }
                let mut part = [0; 4096];
                let read = self.0.read(&mut part).await.unwrap();
                assert!(read > 0, "closed after {text:?}");
                bytes.extend_from_slice(&part[..read]);
            }
        })
        .await
    }

    /// Waits until the server has closed the connection, cleanly or with a reset.
    pub(crate) async fn closed(&mut self) {
        in_time("the connection's end", async {
            while matches!(self.0.read(&mut [0; 1024]).await, Ok(1..)) {}
        })
        .await;
    }
}

/// Lets a test hold handlers: each reports that it was reached, then waits for a permit.
pub(crate) struct Gate {
    reached: mpsc::UnboundedReceiver<()>,
    pub(crate) let_go: &'static Semaphore,
}

impl Gate {
    /// Waits until `count` more requests are in flight.
    pub(crate) async fn reached(&mut self, count: usize) {
        for _ in 0..count {
            in_time("a request at the gate", self.reached.recv()).await.unwrap();
        }
    }
}

/// Routes for tests. `/` answers at once. `/held` waits at the gate; with a body, it reads the body
/// first. `/body` reads the body and answers with its length.
pub(crate) fn api() -> (Router, Gate) {
    let let_go: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let (reach, reached) = mpsc::unbounded_channel();
    let reach_with_body = reach.clone();
    let held_with_body = move |body: axum::body::Body| {
        let reach = reach_with_body.clone();
        async move {
            let body = read_body(body).await?;
            reach.send(()).unwrap();
            let_go.acquire().await.unwrap().forget();
            Ok::<_, Problem>(body.len().to_string())
        }
    };
    let held = move || {
        reach.send(()).unwrap();
        async {
            let_go.acquire().await.unwrap().forget();
            "held"
        }
    };
    let body =
        async |body: axum::body::Body| Ok::<_, Problem>(read_body(body).await?.len().to_string());
    let routes = Router::new()
        .route("/", get(async || "hello").post(async || "hello"))
        .route("/held", get(held).post(held_with_body))
        .route("/body", post(body));
    let allowed = Allowed { hosts: "a, example.com".parse().unwrap(), ..Allowed::default() };
    (layered(routes, &allowed), Gate { reached, let_go })
}

/// A GET request for `path`, without a body.
pub(crate) fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}
