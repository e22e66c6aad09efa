//! GraphQL over a web socket, by the protocol `graphql-transport-ws`.
//!
//! The library has this protocol, too, but without limits: it replaces an operation whose id is
//! taken, and does not say which operations are open. So it is here, in full, with a deadline for
//! each wait and a limit for each number.
//!
//! A socket does one thing after another. While an answer is on its way to a client that reads
//! slowly, nothing else is read or asked, so at most one message per socket waits here.

use std::time::Duration;

use async_graphql::{Request, Response, ServerError};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use futures::stream::BoxStream;
use tokio::time::{
    Instant, Interval, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout,
    timeout_at,
};
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::request::from_body;

mod closing;
mod message;
mod operations;

pub use closing::Closing;
use message::{ClientMessage, ServerMessage};
use operations::Operations;

/// The name of the protocol, as clients ask for it.
pub const PROTOCOL: &str = "graphql-transport-ws";
/// The maximum size of a message of a client, in bytes.
pub const MAX_MESSAGE_BYTES: usize = service_kit::http::BODY_LIMIT;
/// The size of the buffers between a socket and its connection, in bytes.
const BUFFER_BYTES: usize = 4 * 1024;
/// The maximum length of the id of an operation, in bytes.
const MAX_ID_BYTES: usize = 128;
/// How long closing a socket may take: the client reads what it was sent before and that the socket
/// is closed, and answers. After that, the connection is dropped.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The limits of a socket.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// How long a client may take to say who it is (`connection_init`).
    pub init: Duration,
    /// How long a client may leave a message unread.
    pub send: Duration,
    /// How often a client is pinged. One that sends nothing up to the next ping is gone.
    pub ping: Duration,
    /// How often the caller is checked again.
    pub check: Duration,
    /// The maximum number of operations at once.
    pub operations: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            init: Duration::from_secs(10),
            send: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            check: Duration::from_secs(5),
            operations: 50,
        }
    }
}

/// What a socket asks of its API.
pub trait Session: Send {
    /// Finds out who the client is.
    ///
    /// # Errors
    /// The socket is closed like this.
    fn init(&mut self, payload: Option<serde_json::Value>) -> Result<(), Closing>;

    /// Checks whether the caller may still ask.
    ///
    /// # Errors
    /// The socket is closed like this.
    fn check(&self) -> Result<(), Closing>;

    /// Begins an operation. The operation is complete when the stream ends.
    fn operation(&mut self, request: Request) -> BoxStream<'static, Output>;
}

/// What an operation says.
#[derive(Debug)]
pub enum Output {
    /// An answer, or an event of a subscription.
    Next(Response),
    /// Why it was not executed, or ends. Nothing follows.
    Error(Vec<ServerError>),
}

/// Sets the protocol and the limits of size of a socket that opens.
pub fn prepared(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
}

/// Serves a socket until it ends, or until `stop`, and at most [`CLOSE_DEADLINE`] longer. Returns
/// how it was closed from this side; `None` if the client closed it or is gone.
pub async fn converse(
    mut socket: WebSocket,
    session: impl Session,
    limits: SocketLimits,
    stop: CancellationToken,
) -> Option<Closing> {
    let stopped = async {
        stop.cancelled().await;
        sleep(CLOSE_DEADLINE).await;
    };
    let talk = async {
        let closing = if socket.protocol().is_some_and(|name| name == PROTOCOL) {
            Talk::new(session, limits).run(&mut socket, &stop).await
        } else {
            Some(Closing::protocol())
        };
        close(&mut socket, closing).await
    };
    // Even one that waits for a client that does not read.
    tokio::select! {
        closing = talk => closing,
        () = stopped => Some(Closing::going_away()),
    }
}

/// Tells the client that its socket is closed, if this side closes it, and waits for its answer.
async fn close(socket: &mut WebSocket, closing: Option<Closing>) -> Option<Closing> {
    let by = Instant::now() + CLOSE_DEADLINE;
    if let Some(closing) = &closing {
        let frame = CloseFrame { code: closing.code, reason: closing.reason().into() };
        timeout_at(by, socket.send(Message::Close(Some(frame)))).await.ok()?.ok()?;
    }
    // What it sent before its answer does not count any more.
    let answer = async { while let Some(Ok(_)) = socket.recv().await {} };
    drop(timeout_at(by, answer).await);
    closing
}

/// The state of one socket.
struct Talk<S> {
    session: S,
    limits: SocketLimits,
    /// When the client must have said who it is.
    init_by: Instant,
    /// Whether it has.
    is_ready: bool,
    /// Whether the client sent anything since the last ping.
    is_heard: bool,
    pings: Interval,
    checks: Interval,
    operations: Operations,
}

impl<S: Session> Talk<S> {
    fn new(session: S, limits: SocketLimits) -> Self {
        let mut pings = interval_at(Instant::now() + limits.ping, limits.ping);
        let mut checks = interval(limits.check);
        for ticks in [&mut pings, &mut checks] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        Self {
            session,
            limits,
            init_by: Instant::now() + limits.init,
            is_ready: false,
            is_heard: true,
            pings,
            checks,
            operations: Operations::default(),
        }
    }

    /// Goes on until the socket ends. Returns how it is closed, unless the client closed it or is
    /// gone.
    async fn run(&mut self, socket: &mut WebSocket, stop: &CancellationToken) -> Option<Closing> {
        loop {
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Some(Closing::going_away())),
                () = sleep_until(self.init_by), if !self.is_ready => Err(Some(Closing::late())),
                _ = self.checks.tick(), if self.is_ready => self.session.check().map_err(Some),
                _ = self.pings.tick() => self.ping(socket).await,
                received = socket.recv() => self.receive(socket, received).await,
                Some((id, said)) = self.operations.next() => self.tell(socket, &id, said).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn ping(&mut self, socket: &mut WebSocket) -> Result<(), Option<Closing>> {
        if !std::mem::take(&mut self.is_heard) {
            return Err(None);
        }
        send(socket, self.limits.send, Message::Ping(axum::body::Bytes::new())).await
    }

    async fn receive(
        &mut self,
        socket: &mut WebSocket,
        received: Option<Result<Message, axum::Error>>,
    ) -> Result<(), Option<Closing>> {
        let message = match received {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(None),
        };
        self.is_heard = true;
        match message {
            Message::Text(text) => self.message(socket, &text).await,
            Message::Binary(_) => Err(Some(Closing::invalid("messages are text"))),
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(None),
        }
    }

    async fn message(&mut self, socket: &mut WebSocket, text: &str) -> Result<(), Option<Closing>> {
        let message = ClientMessage::read(text).map_err(Closing::invalid)?;
        match message {
            ClientMessage::Init(_) if self.is_ready => Err(Some(Closing::init_again())),
            ClientMessage::Init(payload) => {
                self.session.init(payload)?;
                self.is_ready = true;
                self.say(socket, &ServerMessage::ConnectionAck).await
            }
            ClientMessage::Ping(payload) => {
                self.say(socket, &ServerMessage::Pong { payload }).await
            }
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { .. } if !self.is_ready => Err(Some(Closing::unauthorized())),
            ClientMessage::Subscribe { id, request } => self.begin(socket, &id, request).await,
            ClientMessage::Complete { id } => {
                self.operations.stop(&id);
                Ok(())
            }
        }
    }

    async fn begin(
        &mut self,
        socket: &mut WebSocket,
        id: &str,
        request: &str,
    ) -> Result<(), Option<Closing>> {
        let request = from_body(request.as_bytes());
        let request = request.map_err(|error| Closing::invalid(error.to_string()))?;
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            let detail = format!("the id of an operation has 1 to {MAX_ID_BYTES} bytes");
            return Err(Some(Closing::invalid(detail)));
        }
        if self.operations.has(id) {
            return Err(Some(Closing::duplicate(id)));
        }
        if self.operations.count() >= self.limits.operations {
            let most = self.limits.operations;
            let error = format!("a socket has at most {most} operations at once");
            return self.refuse(socket, id, vec![answer::refusal(error)]).await;
        }
        self.operations.begin(id, self.session.operation(request));
        Ok(())
    }

    /// Tells the client what an operation says, or that it is complete.
    async fn tell(
        &mut self,
        socket: &mut WebSocket,
        id: &str,
        said: Option<Output>,
    ) -> Result<(), Option<Closing>> {
        match said {
            Some(Output::Next(mut payload)) => {
                payload.errors.iter_mut().for_each(answer::name);
                self.say(socket, &ServerMessage::Next { id, payload: &payload }).await
            }
            Some(Output::Error(errors)) => {
                self.operations.stop(id);
                self.refuse(socket, id, errors).await
            }
            None => {
                self.operations.stop(id);
                self.say(socket, &ServerMessage::Complete { id }).await
            }
        }
    }

    async fn refuse(
        &mut self,
        socket: &mut WebSocket,
        id: &str,
        mut errors: Vec<ServerError>,
    ) -> Result<(), Option<Closing>> {
        errors.iter_mut().for_each(answer::name);
        self.say(socket, &ServerMessage::Error { id, payload: &errors }).await
    }

    async fn say(
        &mut self,
        socket: &mut WebSocket,
        message: &ServerMessage<'_>,
    ) -> Result<(), Option<Closing>> {
        // It is made of texts and numbers, so this never fails.
        let text = serde_json::to_string(message).map_err(|_| Some(Closing::internal()))?;
        send(socket, self.limits.send, Message::Text(text.into())).await
    }
}

/// Sends a message. One that the client does not read in time is an error, and so is a connection
/// that ended.
async fn send(
    socket: &mut WebSocket,
    limit: Duration,
    message: Message,
) -> Result<(), Option<Closing>> {
    match timeout(limit, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// How a socket is closed whose client sent something that is no message.
fn broken(error: axum::Error) -> Option<Closing> {
    let error = error.into_inner().downcast::<SocketError>().ok()?;
    match *error {
        SocketError::Capacity(_) => Some(Closing::too_big(MAX_MESSAGE_BYTES)),
        SocketError::Utf8(_) => Some(Closing::not_utf8()),
        SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        SocketError::Protocol(_) => Some(Closing::framing()),
        _ => None,
    }
}
