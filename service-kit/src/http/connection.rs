//! One connection from accept to close: its time limits, its requests, and how it ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{HOST, STRICT_TRANSPORT_SECURITY};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::answer::Answer;
use super::body_budget::{BodyBudget, Budgeted};
use super::connections::{Activity, Slot, closed};
use super::hosts::is_domain;
use super::limits::Limits;
use super::stall::WriteDeadline;
use super::streams::Streams;
use super::tls::Tls;
use super::upgrade::{KeptConnection, asks_for_web_socket};
use super::wire::{Clients, Wire};

/// hyper's limit of header fields. It is above the limit of `screen.rs`, which answers with problem
/// details. Above 100, hyper would allocate for each request.
const MAX_PARSED_HEADERS: usize = 100;
/// hyper's limit of a request head in bytes, above the limit of `screen.rs`. It also bounds how
/// much of a body hyper reads ahead.
const MAX_PARSED_BYTES: usize = 64 * 1024;
/// The maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How many unread bytes an HTTP/2 client may send, per stream and per connection. It equals the
/// HTTP/1 limit, and is the protocol's minimum for a connection.
const WINDOW_BYTES: u32 = 65_535;
/// How many answer bytes an HTTP/2 stream buffers for a client that does not read them.
const MAX_SEND_BYTES: usize = 64 * 1024;
/// How often an idle HTTP/2 connection is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Browsers that were here over TLS ask over TLS only, for a year (RFC 6797).
const TLS_ONLY: &str = "max-age=31536000";

/// The state that all connections of one port share.
#[derive(Clone)]
pub(super) struct Server {
    builder: Arc<auto::Builder<Streams>>,
    router: Router,
    bodies: BodyBudget,
    clients: Clients,
    head_deadline: Duration,
    write_deadline: Duration,
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Server {
    /// `drain` lets connections finish; `cut` ends them at once.
    pub(super) fn new(
        router: Router,
        limits: Limits,
        drain: CancellationToken,
        cut: CancellationToken,
    ) -> Self {
        let bodies = limits.bodies.clone();
        let Limits { head_deadline, write_deadline, .. } = limits;
        let (builder, clients) = (Arc::new(builder(head_deadline)), Clients::new(limits));
        Self { builder, router, bodies, clients, head_deadline, write_deadline, drain, cut }
    }

    /// Serves one connection until it ends.
    pub(super) async fn attend(self, stream: TcpStream, peer: IpAddr, slot: Slot) {
        let stream = guarded(stream, self.write_deadline);
        self.converse(stream, peer, (slot, false)).await;
    }

    /// Serves one connection over TLS until it ends.
    pub(super) async fn attend_over_tls(
        self,
        tls: Tls,
        stream: TcpStream,
        peer: IpAddr,
        slot: Slot,
    ) {
        let shaken = tokio::select! {
            biased;
            () = slot.evicted() => return,
            // No request can be lost yet.
            () = self.drain.cancelled() => return,
            shaken = tls.accept(guarded(stream, self.write_deadline)) => shaken,
        };
        match shaken {
            Ok(stream) => self.converse(stream, peer, (slot, true)).await,
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                closed("no_handshake");
            }
        }
    }

    async fn converse<T>(self, stream: T, peer: IpAddr, (slot, is_tls): (Slot, bool))
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::clone(slot.activity());
        let wire = self.clients.clone().wire(peer);
        let (io, upgrades) = (TokioIo::new(stream), TaskTracker::new());
        let requests = Requests {
            router: self.router.clone(),
            bodies: self.bodies.clone(),
            wire,
            activity: Arc::clone(&activity),
            upgrades: upgrades.clone(),
            is_tls,
        };
        let service = hyper::service::service_fn(move |request| requests.clone().answer(request));
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let mut head_deadline = pin!(tokio::time::sleep(self.head_deadline));
        let (mut watched, mut draining, mut evicted) = (true, false, false);
        loop {
            tokio::select! {
                // Eviction comes first. A request read after it would run in addition to those of
                // the connection that took its place, beyond the limit.
                biased;
                () = slot.evicted(), if !evicted => {
                    if !activity.is_busy() {
                        return;
                    }
                    evicted = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended early");
                    }
                    break;
                }
                // hyper starts its own timer only once it knows the protocol.
                () = head_deadline.as_mut(), if watched => {
                    if !activity.was_used() {
                        return closed("no_request");
                    }
                    watched = false;
                }
                // The first request has come, so the protocol is known.
                () = activity.left_unread(self.write_deadline), if activity.is_http2() => {
                    return closed("unread");
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled() => return closed("drain_limit"),
            }
        }
        // It may go on in another protocol.
        upgrades.close();
        tokio::select! {
            () = upgrades.wait() => {}
            () = self.cut.cancelled() => closed("drain_limit"),
        }
    }
}

/// Whether the request is to a domain. A browser that was told to use TLS only for `localhost`
/// would do so for every other program of its machine.
fn is_to_a_domain(request: &Request) -> bool {
    let named =
        request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    named.as_ref().or_else(|| request.uri().authority()).is_some_and(is_domain)
}

/// A connection whose answers are sent at once, and end when nobody reads them.
fn guarded(stream: TcpStream, limit: Duration) -> WriteDeadline<TcpStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    WriteDeadline::new(stream, limit)
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Requests {
    router: Router,
    bodies: BodyBudget,
    wire: Wire,
    activity: Arc<Activity>,
    /// Those who keep the connection for another protocol.
    upgrades: TaskTracker,
    is_tls: bool,
}

impl Requests {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let is_http2 = request.version() == Version::HTTP_2;
        if is_http2 {
            self.activity.speaks_http2();
        }
        let in_flight = self.activity.begin();
        let reservation = self.bodies.reservation();
        let mut request =
            request.map(|body| Body::new(Budgeted::new(body, Arc::clone(&reservation))));
        request.extensions_mut().insert(self.wire);
        if asks_for_web_socket(request.headers()) {
            let kept = KeptConnection::new(self.activity.begin(), self.upgrades.token());
            request.extensions_mut().insert(kept);
        }
        // Without TLS, the header means nothing.
        let is_tls_only = self.is_tls && is_to_a_domain(&request);
        let mut response = self.router.oneshot(request).await?;
        if is_tls_only {
            let value = HeaderValue::from_static(TLS_ONLY);
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
        }
        // The handler no longer needs the body.
        drop(reservation);
        Ok(response.map(|body| {
            if is_http2 {
                return Answer::of_http2(body, self.activity.send(in_flight));
            }
            Answer::of_http1(body, in_flight)
        }))
    }
}

fn builder(head_deadline: Duration) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline)
        .max_headers(MAX_PARSED_HEADERS)
        .max_buf_size(MAX_PARSED_BYTES)
        // A client may close its sending side after its request. A full disconnect is noticed when
        // the answer is written.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_PARSED_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(MAX_SEND_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
