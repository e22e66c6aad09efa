//! GraphQL over web sockets, as a client speaks it that is not ours. The tests change the rows as
//! the projector would.

pub(crate) mod access;
mod events;
mod limits;
mod pages;
mod protocol;
mod waiting;

use std::net::SocketAddr;

use axum::Router;
use futures::{SinkExt as _, StreamExt as _};
use local_servers::in_time;
use serde_json::{Value, json};
use service_kit::http::{Limits, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::App;
use crate::support::tokens::admin;

/// The name of the protocol, in the header of a request.
const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

/// A port with an API behind it.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    drain: DropGuard,
}

impl Server {
    async fn start(router: &Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, drain) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (router, limits) = (router.clone(), Limits::default());
        let task = tokio::spawn(serve(listener, router, limits, drain.clone()));
        Self { address, task, drain: drain.drop_guard() }
    }

    /// Sends a request for a web socket with these headers.
    async fn connect(&self, headers: &[(&str, &str)]) -> Result<Socket, Error> {
        connect(self.address, headers).await
    }

    /// Opens a socket with a token, or without one.
    async fn open(&self, token: Option<&str>) -> Socket {
        let mut socket = self.connect(&[PROTOCOL]).await.unwrap();
        socket.init(token).await;
        assert_eq!(socket.next().await, json!({"type": "connection_ack"}));
        socket
    }
}

/// Sends a request for a web socket with these headers to the API at this address.
async fn connect(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    for (name, value) in headers {
        let (name, value) = (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value));
        request.headers_mut().insert(name, value.unwrap());
    }
    let connection = TcpStream::connect(address).await.unwrap();
    let connected = in_time("a web socket", client_async(request, connection)).await;
    connected.map(|(stream, _)| Socket { stream })
}

/// A socket of a client.
struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    async fn send(&mut self, message: &Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Says who it is.
    async fn init(&mut self, token: Option<&str>) {
        let payload = token.map(|token| json!({"authorization": format!("Bearer {token}")}));
        self.send(&json!({"type": "connection_init", "payload": payload})).await;
    }

    /// Begins an operation.
    async fn begin(&mut self, id: &str, query: &str, variables: &Value) {
        let payload = json!({"query": query, "variables": variables});
        self.send(&json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    /// The next message of the socket, which is open.
    async fn read(&mut self) -> Message {
        let read = self.stream.next().await;
        read.unwrap_or_else(|| panic!("the socket has ended")).unwrap()
    }

    /// The next message of the protocol.
    async fn next(&mut self) -> Value {
        let next = async {
            loop {
                match self.read().await {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        in_time("a message", next).await
    }

    /// The next answer of this operation, which has no errors.
    async fn answer(&mut self, id: &str) -> Value {
        let mut message = self.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message:#}");
        assert!(message["payload"].get("errors").is_none(), "{message:#}");
        message["payload"]["data"].take()
    }

    /// The next event of a subscription to this field.
    async fn event(&mut self, id: &str, field: &str) -> Value {
        self.answer(id).await[field].take()
    }

    /// The events up to one of this kind.
    async fn until(&mut self, id: &str, field: &str, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.event(id, field).await);
            if events.last().is_some_and(|event| event["event"] == kind) {
                return events;
            }
        }
    }

    /// The code of the first error with which an operation ends.
    async fn error(&mut self, id: &str) -> Value {
        let mut message = self.next().await;
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("error"), &json!(id)),
            "{message:#}"
        );
        message["payload"][0]["extensions"]["code"].take()
    }

    /// The code with which the server closes the socket, whatever it sends before.
    async fn closed(&mut self) -> u16 {
        let closed = async {
            loop {
                if let Message::Close(frame) = self.read().await {
                    return frame.map_or(0, |frame| frame.code.into());
                }
            }
        };
        in_time("the end of a socket", closed).await
    }
}

/// A socket of the administrator.
async fn opened(app: &App) -> (Server, Socket) {
    let server = Server::start(&app.router).await;
    let socket = server.open(Some(&admin())).await;
    (server, socket)
}
