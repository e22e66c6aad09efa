//! The accept loop: a cap on connections, time limits for slow clients, and a drain that lets requests in flight finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::LoopbackAddr;
use crate::health::Health;
use crate::shutdown::Shutdown;

/// How many connections one listener holds at most; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to send a request's head.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// How large a request's head may be.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How many requests one HTTP/2 connection may have in flight.
const MAX_STREAMS: u32 = 100;
/// How often an idle HTTP/2 connection is asked whether it still lives, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight have to finish once the drain began.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (no file handle is free, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server did not start or end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// A server's task panicked.
    #[error("a server ended unexpectedly")]
    Panicked(#[source] tokio::task::JoinError),
}

/// Listens on an address.
///
/// # Errors
/// [`ServeError::Bind`].
pub async fn bind(address: LoopbackAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address.get()).await.map_err(|source| ServeError::Bind(address.get(), source))
}

/// Serves several routers until the drain, then lets their requests in flight finish; `/readyz` says so first.
/// The last one is the admin port: it goes on answering while the others drain.
///
/// # Errors
/// [`ServeError`]: an address that cannot be had, before any request is answered.
pub async fn serve_all(routers: Vec<(LoopbackAddr, Router)>, shutdown: &Shutdown, health: &Health) -> Result<(), ServeError> {
    let mut bound = Vec::new();
    for (address, router) in routers {
        bound.push((bind(address).await?, router));
    }
    let admin = bound.pop();
    let admin_drain = CancellationToken::new();
    let admin_task = admin.map(|(listener, router)| tokio::spawn(serve(listener, router, admin_drain.clone())));
    let tasks: Vec<_> =
        bound.into_iter().map(|(listener, router)| tokio::spawn(serve(listener, router, shutdown.drain()))).collect();
    shutdown.drain().cancelled().await;
    health.drain();
    for task in tasks {
        task.await.map_err(ServeError::Panicked)?;
    }
    admin_drain.cancel();
    if let Some(task) = admin_task {
        task.await.map_err(ServeError::Panicked)?;
    }
    Ok(())
}

/// Serves one router on one listener until `drain` is cancelled, then lets requests in flight finish, for 10 s at most.
pub async fn serve(listener: TcpListener, router: Router, drain: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let builder = builder();
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = drain.cancelled() => break,
        };
        let connection = graceful.watch(connect(&builder, stream, router.clone()).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!(limit_ms = DRAIN_LIMIT.as_millis(), "requests in flight did not finish in time");
    }
}

type Connection<'a, S> = auto::Connection<'a, TokioIo<TcpStream>, TowerToHyperService<S>, TokioExecutor>;

fn connect(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
) -> Connection<
    '_,
    impl tower::Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + use<>,
> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = router.map_request(|request: Request<Incoming>| request.map(Body::new));
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
