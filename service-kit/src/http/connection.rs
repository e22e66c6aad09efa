//! One connection from accept to close: its time limits, its requests, and how it ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
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
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::answer::Answer;
use super::body_budget::{BodyBudget, Budgeted};
use super::connections::{Activity, Slot, closed};
use super::hosts::is_domain;
use super::limits::Limits;
use super::protocol::{Builders, Protocol, begun};
use super::stall::WriteDeadline;
use super::tls::Tls;
use super::upgrade::{KeptConnection, asks_for_web_socket};
use super::wire::{Clients, Wire};

/// Browsers that were here over TLS ask over TLS only, for a year (RFC 6797).
const TLS_ONLY: &str = "max-age=31536000";

/// The state that all connections of one port share.
#[derive(Clone)]
pub(super) struct Server {
    builders: Arc<Builders>,
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
        let (builders, clients) = (Arc::new(Builders::new(head_deadline)), Clients::new(limits));
        Self { builders, router, bodies, clients, head_deadline, write_deadline, drain, cut }
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
        let mut head_deadline = pin!(tokio::time::sleep(self.head_deadline));
        let begun = tokio::select! {
            biased;
            () = slot.evicted() => return,
            begun = begun(stream) => begun,
            // No request can be lost yet.
            () = self.drain.cancelled() => return,
            () = head_deadline.as_mut() => return closed("no_request"),
        };
        let (protocol, stream) = match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "a connection ended early"),
        };
        let upgrades = TaskTracker::new();
        let requests = Requests {
            router: self.router.clone(),
            bodies: self.bodies.clone(),
            wire: self.clients.clone().wire(peer),
            activity: Arc::clone(slot.activity()),
            upgrades: upgrades.clone(),
            is_tls,
        };
        // Boxed: hyper keeps the room for the future of an answer as long as the connection.
        let service =
            hyper::service::service_fn(move |request| Box::pin(requests.clone().answer(request)));
        let (io, limits) = (TokioIo::new(stream), (&slot, head_deadline));
        let is_open = match protocol {
            Protocol::Http1 => {
                let connection = self.builders.http1.serve_connection(io, service).with_upgrades();
                let finish = UpgradeableConnection::graceful_shutdown;
                self.attend_to(pin!(connection), finish, limits).await
            }
            Protocol::Http2 => {
                // Boxed: it is large, and most connections speak HTTP/1.
                Box::pin(async {
                    let connection = self.builders.http2.serve_connection(io, service);
                    let finish = http2::Connection::graceful_shutdown;
                    self.attend_to(pin!(connection), finish, limits).await
                })
                .await
            }
        };
        if !is_open {
            return;
        }
        // It may go on in another protocol.
        upgrades.close();
        tokio::select! {
            () = upgrades.wait() => {}
            () = self.cut.cancelled() => closed("drain_limit"),
        }
    }

    /// Drives a connection until it ends. Returns whether something else may go on on it: not if
    /// this side has ended it. `finish` lets its requests finish.
    async fn attend_to<C>(
        &self,
        mut connection: Pin<&mut C>,
        finish: fn(Pin<&mut C>),
        (slot, mut head_deadline): (&Slot, Pin<&mut Sleep>),
    ) -> bool
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let ended = |reason| {
            closed(reason);
            false
        };
        let activity = slot.activity();
        let (mut watched, mut draining, mut evicted) = (true, false, false);
        loop {
            tokio::select! {
                // Eviction comes first. A request read after it would run in addition to those of
                // the connection that took its place, beyond the limit.
                biased;
                () = slot.evicted(), if !evicted => {
                    if !activity.is_busy() {
                        return false;
                    }
                    evicted = true;
                    finish(connection.as_mut());
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return true;
                }
                // hyper starts its own timer when it reads the head.
                () = head_deadline.as_mut(), if watched => {
                    if !activity.was_used() {
                        return ended("no_request");
                    }
                    watched = false;
                }
                // The first request has come, so the protocol is known.
                () = activity.left_unread(self.write_deadline), if activity.is_http2() => {
                    return ended("unread");
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    finish(connection.as_mut());
                }
                () = self.cut.cancelled() => return ended("drain_limit"),
            }
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
