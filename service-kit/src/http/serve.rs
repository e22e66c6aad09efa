//! The accept loop, and a shutdown that lets requests in flight finish.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Server;
use super::connections::Connections;
use super::limits::Limits;
use super::listen::{Listen, Protection};
use super::refuse::{self, Refusals};
use super::tls::Tls;
use super::{body_budget, connections, streams, wire};
use crate::health::Health;
use crate::loopback::LoopbackAddr;
use crate::shed;

/// How long requests in flight may take to finish after the drain began.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (out of file handles, for example), so that the loop does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static LINES: shed::LogLimit = shed::LogLimit::new(shed::LINE_EVERY);

/// Why a server did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// A server task panicked.
    #[error("a server ended unexpectedly")]
    Panicked(#[source] tokio::task::JoinError),
}

/// A port: its address, its routes and its limits.
#[derive(Debug)]
pub struct Port {
    listen: Listen,
    router: Router,
    limits: Limits,
}

impl Port {
    /// Creates a port for clients.
    pub fn public(listen: impl Into<Listen>, router: Router, limits: Limits) -> Self {
        Self { listen: listen.into(), router, limits }
    }

    /// Creates a port for operators.
    pub fn admin(address: LoopbackAddr, router: Router) -> Self {
        Self { listen: address.into(), router, limits: Limits::admin() }
    }

    async fn bind(self) -> Result<(TcpListener, Self), ServeError> {
        Ok((listener(self.listen.address).await?, self))
    }

    async fn serve(self, listener: TcpListener, drain: CancellationToken) {
        let Self { listen, router, limits } = self;
        attend(listener, router, (limits, listen.protection), drain).await;
    }
}

/// Binds a listener to an address.
///
/// # Errors
/// [`ServeError::Bind`].
pub async fn bind(address: LoopbackAddr) -> Result<TcpListener, ServeError> {
    listener(address.get()).await
}

async fn listener(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind(address, source))
}

/// The ports of a process.
#[derive(Debug)]
pub struct Ports {
    /// The ports for clients.
    pub public: Vec<Port>,
    /// The port for operators.
    pub admin: Port,
}

impl Ports {
    /// Binds all ports.
    pub(crate) async fn bind(self) -> Result<Bound, ServeError> {
        let mut public = Vec::new();
        for port in self.public {
            public.push(port.bind().await?);
        }
        Ok(Bound { public, admin: self.admin.bind().await? })
    }
}

/// Ports whose addresses are bound.
pub(crate) struct Bound {
    public: Vec<(TcpListener, Port)>,
    admin: (TcpListener, Port),
}

impl Bound {
    /// The certificates of the ports that speak TLS.
    pub(crate) fn certificates(&self) -> Vec<Tls> {
        self.public.iter().filter_map(|(_, port)| port.listen.protection.tls().cloned()).collect()
    }

    /// Serves until `drain` is cancelled, then lets requests in flight finish. `/readyz` reports
    /// not ready first. The admin port keeps answering while the others drain.
    pub(crate) async fn serve(
        self,
        drain: CancellationToken,
        health: &Health,
    ) -> Result<(), ServeError> {
        let (listener, admin) = self.admin;
        let admin_drain = CancellationToken::new();
        let admin_task = tokio::spawn(admin.serve(listener, admin_drain.clone()));
        let public_drain = CancellationToken::new();
        let serve_one = |(listener, port): (TcpListener, Port)| {
            tokio::spawn(port.serve(listener, public_drain.clone()))
        };
        let tasks: Vec<_> = self.public.into_iter().map(serve_one).collect();
        drain.cancelled().await;
        // Report not ready before refusing connections, so that load balancers stop sending them.
        health.drain();
        public_drain.cancel();
        for task in tasks {
            task.await.map_err(ServeError::Panicked)?;
        }
        admin_drain.cancel();
        admin_task.await.map_err(ServeError::Panicked)
    }
}

/// Serves one router on one listener until `drain` is cancelled, then lets requests in flight
/// finish within 10 s. The listener is on loopback.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    drain: CancellationToken,
) {
    attend(listener, router, (limits, Protection::Loopback), drain).await;
}

/// Does the same for callers who are protected in another way.
async fn attend(
    listener: TcpListener,
    router: Router,
    (limits, protection): (Limits, Protection),
    drain: CancellationToken,
) {
    connections::describe();
    body_budget::describe();
    shed::describe();
    streams::describe();
    wire::describe();
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    let (places, refusals) = (Connections::new(limits.clone()), Refusals::new());
    let cut = CancellationToken::new();
    let server = Server::new(router, limits, drain.clone(), cut.clone());
    let tasks = TaskTracker::new();
    // The loop waits only for the next connection, so it notices the drain under any load.
    while let Some((stream, peer)) = accept(&listener, &drain).await {
        if !protection.serves(peer) {
            unprotected(peer);
            continue;
        }
        match (places.admit(peer), protection.tls()) {
            (Ok(slot), None) => drop(tasks.spawn(server.clone().attend(stream, peer, slot))),
            (Ok(slot), Some(tls)) => {
                let tls = tls.clone();
                drop(tasks.spawn(server.clone().attend_over_tls(tls, stream, peer, slot)));
            }
            (Err(connections::AllBusy), None) => refusals.refuse(stream),
            // The answer would need a handshake, which costs more than a request.
            (Err(connections::AllBusy), Some(_)) => refuse::close(stream),
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
        tracing::warn!(
            limit_ms = DRAIN_LIMIT.as_millis(),
            connections = tasks.len(),
            "requests in flight did not finish in time"
        );
        cut.cancel();
        tasks.wait().await;
    }
}

/// Reports a connection that is closed at once because no trusted proxy opened it.
fn unprotected(peer: IpAddr) {
    connections::closed("not_a_proxy");
    if let Some(unlogged) = LINES.admit("not_a_proxy", 1) {
        tracing::warn!(%peer, unlogged, "a connection without TLS is from no trusted proxy");
    }
}

/// Accepts the next connection; `None` once the drain began.
async fn accept(listener: &TcpListener, drain: &CancellationToken) -> Option<(TcpStream, IpAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => return Some((stream, peer.ip())),
            Err(error) => {
                if let Some(unlogged) = LINES.admit("accept", 1) {
                    tracing::warn!(%error, unlogged, "could not accept a connection");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
