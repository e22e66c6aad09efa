//! One API as the front reaches it: its address, its connections and its limits.
//!
//! A request's body is whole before it is sent. It has at most 64 KiB, as everywhere in this
//! system, so a slow client holds a small buffer here and no connection to the API. An answer is
//! passed on as it comes (`relayed.rs`).
//!
//! The front speaks HTTP/1.1 to the APIs and keeps connections. A kept connection may be closed by
//! the API at the moment at which it is used again. A request that only reads is then sent once
//! more. Any other is not, because nobody knows whether the API has carried it out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::uri::{InvalidUriParts, PathAndQuery};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::relayed::Relayed;

/// How long a connection to an API may take, without TLS.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long an API may take to begin its answer, from the beginning of the request. It is a second
/// less than the deadline of the front's own layers, so that the answer to a client names the API.
pub const ANSWER_DEADLINE: Duration =
    service_kit::http::REQUEST_DEADLINE.saturating_sub(Duration::from_secs(1));
/// How long an idle connection is kept. It is less than the 5 s after which the APIs close theirs.
const KEPT_FOR: Duration = Duration::from_secs(3);
/// The maximum number of idle connections to one API.
const MAX_IDLE: usize = 64;
/// The maximum size of an answer's head, and of what is read ahead of an answer's body, in bytes.
const MAX_READ_AHEAD: usize = 64 * 1024;
/// The maximum size of an answer that is read whole before it is passed on, in bytes.
const MAX_WHOLE: u64 = 64 * 1024;
/// How long an API may take to describe itself in one document.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// The maximum size of a document in which an API describes itself, in bytes.
const MAX_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
/// The media type of an answer without an end.
const EVENT_STREAM: &str = "text/event-stream";

/// How much the front asks of each API at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// The maximum number of requests at once.
    pub requests: usize,
    /// The maximum number of streams (SSE) and web sockets at once. They do not count as requests.
    pub streams: usize,
    /// How long it may take to begin an answer.
    pub deadline: Duration,
}

/// What is sent to an API, apart from the body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
}

/// What an API answers to a request for another protocol.
#[derive(Debug)]
pub(crate) enum Switched {
    /// It speaks it from now on. The connection holds this place.
    Yes(Response<Incoming>, OwnedSemaphorePermit),
    /// It does not.
    No(Response<Body>),
}

impl Switched {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Yes(answer, _) => answer.status(),
            Self::No(answer) => answer.status(),
        }
    }
}

/// Why an API gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The front asks as much of it as it may.
    #[error("too many requests are on their way to it")]
    Full,
    /// The front holds as many of its streams as it may.
    #[error("too many of its streams are open")]
    FullOfStreams,
    /// It cannot be reached. Nothing was sent.
    #[error("it cannot be reached")]
    Away(#[source] ClientError),
    /// The connection ended before the answer began.
    #[error("it ended the connection without an answer")]
    Broken(#[source] ClientError),
    /// The connection ended in the middle of a short answer.
    #[error("it ended its answer early")]
    Cut(#[source] hyper::Error),
    /// It did not answer in time.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// The target cannot be put behind its address.
    #[error("the target of the request is not valid there")]
    Target(#[from] InvalidUriParts),
}

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// There was no answer.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It did not arrive in time.
    #[error("it did not describe itself within {} s", FETCH_DEADLINE.as_secs())]
    Late,
    /// The answer broke off, or is too long.
    #[error("its description broke off or is longer than {MAX_DOCUMENT_BYTES} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An API as the front reaches it.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: Address,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    deadline: Duration,
    /// Cancelled when streams must end.
    drain: CancellationToken,
}

impl Upstream {
    pub(crate) fn new(
        address: Address,
        limits: UpstreamLimits,
        drain: CancellationToken,
    ) -> io::Result<Self> {
        if !address.is_private() {
            tracing::warn!(
                %address,
                "the address of an API is neither https nor on this machine: anybody in between \
                    can read and change what is sent"
            );
        }
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_READ_AHEAD)
            .build(connector(address.is_https())?);
        let places = |most| Arc::new(Semaphore::new(most));
        let (requests, streams) = (places(limits.requests), places(limits.streams));
        Ok(Self { address, client, requests, streams, deadline: limits.deadline, drain })
    }

    /// Sends a request, and returns the answer as soon as it begins. The API's time counts from
    /// `started`.
    ///
    /// A short answer is read whole, so that a client that does not read it holds no place here.
    pub(crate) async fn send(
        &self,
        head: &Head,
        body: &Bytes,
        started: Instant,
    ) -> Result<Response<Body>, Failure> {
        let place = free(&self.requests).ok_or(Failure::Full)?;
        let late = |_| Failure::Late(self.deadline);
        let end = started + self.deadline;
        let answer = timeout_at(end, self.attempts(head, body)).await.map_err(late)??;
        if !is_stream(answer.headers()) {
            let (parts, body) = answer.into_parts();
            let is_short = body.size_hint().upper().is_some_and(|size| size <= MAX_WHOLE);
            let body = if is_short {
                let whole = timeout_at(end, body.collect()).await.map_err(late)?;
                Body::from(whole.map_err(Failure::Cut)?.to_bytes())
            } else {
                Body::new(Relayed::new(body, place))
            };
            return Ok(Response::from_parts(parts, body));
        }
        // It stays open for long, so it must not take the place of a request.
        let place = free(&self.streams).ok_or(Failure::FullOfStreams)?;
        Ok(answer.map(|body| Body::new(Relayed::new(body, place).until(self.drain.clone()))))
    }

    /// Asks for another protocol. It takes the place of a stream.
    pub(crate) async fn switch(&self, head: &Head) -> Result<Switched, Failure> {
        let place = free(&self.streams).ok_or(Failure::FullOfStreams)?;
        let nothing = Bytes::new();
        let answer = tokio::time::timeout(self.deadline, self.attempts(head, &nothing)).await;
        let answer = answer.map_err(|_| Failure::Late(self.deadline))??;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Switched::Yes(answer, place));
        }
        Ok(Switched::No(answer.map(|body| Body::new(Relayed::new(body, place)))))
    }

    /// Cancelled when streams must end.
    pub(crate) fn drain(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Fetches something small and whole.
    pub(crate) async fn fetch(
        &self,
        head: &Head,
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let fetched = async {
            let (parts, body) = self.attempts(head, body).await?.into_parts();
            let body = Limited::new(body, MAX_DOCUMENT_BYTES).collect().await;
            Ok::<_, FetchError>((parts.status, body.map_err(FetchError::Body)?.to_bytes()))
        };
        tokio::time::timeout(FETCH_DEADLINE, fetched).await.map_err(|_| FetchError::Late)?
    }

    async fn attempts(&self, head: &Head, body: &Bytes) -> Result<Response<Incoming>, Failure> {
        let mut answer = self.attempt(head, body).await;
        if matches!(answer, Err(Failure::Broken(_))) && head.method.is_safe() {
            answer = self.attempt(head, body).await;
        }
        answer
    }

    async fn attempt(&self, head: &Head, body: &Bytes) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.address.uri(&head.target)?;
        *request.headers_mut() = head.headers.clone();
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() { Failure::Away(error) } else { Failure::Broken(error) }
        })
    }
}

/// A free place, if there is one.
fn free(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENT_STREAM)
}

fn connector(is_https: bool) -> io::Result<HttpsConnector<HttpConnector>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = HttpsConnectorBuilder::new();
    let builder = if is_https {
        builder.with_provider_and_platform_verifier(provider)?
    } else {
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_DEADLINE));
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_stream_is_told_by_its_media_type() {
        for (kind, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/json", false),
            ("text/event-streams", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_stream(&headers), expected, "{kind}");
        }
        assert!(!is_stream(&HeaderMap::new()));
    }
}
