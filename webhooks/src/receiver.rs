//! A receiver of webhooks: signs messages by Standard Webhooks, and sends them over HTTP.

use std::fmt;
use std::time::Duration;

use outward::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use outward::{
    Answer, Bytes, CallError, Method, Reason, Repeat, Request, SendError, Settings, Target,
    Transport,
};
use reqwest::redirect::Policy;
use service_kit::clock::SharedClock;

use crate::destination::{Destination, Failure, FailureKind, Outcome};
use crate::limits::Limits;
use crate::message::{self, Message};
use crate::reach::{Reach, ReceiverUrl, Resolver};
use crate::secret::Secret;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Marks a message of a replay, with the replay's id.
pub const REPLAY: HeaderName = HeaderName::from_static("daybook-replay");

/// The time limit of a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a connection is kept without use.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How much of an answer's body is read, in bytes, so that its connection can be used again. Nobody
/// looks at it.
const MAX_ANSWER: usize = 16 * 1024;

/// Why no receiver could be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of a receiver cannot be made")]
pub struct NoReceiver(#[from] reqwest::Error);

/// A receiver at one URL.
pub struct Receiver {
    target: Target<Http>,
    secrets: Vec<Secret>,
    clock: SharedClock,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Receiver {
    /// The receiver of the subscription `name`. Each of the secrets signs.
    ///
    /// # Errors
    /// The certificates of the system cannot be used.
    pub fn new(
        name: &str,
        url: ReceiverUrl,
        secrets: Vec<Secret>,
        (reach, limits): (&Reach, &Limits),
        clock: SharedClock,
    ) -> Result<Self, NoReceiver> {
        let http = Http::new(url, reach.clone())?;
        // The tables retry, over days. A call here is one attempt.
        let settings = Settings {
            attempt_limit: limits.attempt_limit,
            total_limit: limits.attempt_limit,
            attempts: 1,
            breaker: limits.breaker,
            ..Settings::default()
        };
        Ok(Self { target: Target::new(name, http, settings), secrets, clock })
    }

    fn request(&self, message: &Message) -> Option<Request> {
        let timestamp = self.clock.now().timestamp();
        let sign = |secret: &Secret| secret.sign(&message.id, timestamp, &message.body);
        let signatures: Vec<String> = self.secrets.iter().map(sign).collect();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message::CONTENT_TYPE));
        headers.insert(USER_AGENT, HeaderValue::from_static("daybook-webhooks"));
        headers.insert(ID, HeaderValue::from_str(&message.id).ok()?);
        headers.insert(TIMESTAMP, timestamp.into());
        headers.insert(SIGNATURE, HeaderValue::from_str(&signatures.join(" ")).ok()?);
        if let Some(replay) = message.replay {
            headers.insert(REPLAY, HeaderValue::from_str(&replay.to_string()).ok()?);
        }
        Some(Request {
            method: Method::POST,
            path: String::new(),
            headers,
            body: Bytes::copy_from_slice(&message.body),
            repeat: Repeat::Unsafe,
            traceparent: message.traceparent.clone(),
            total_limit: None,
        })
    }
}

impl Destination for Receiver {
    async fn deliver(&self, message: &Message) -> Outcome {
        let Some(request) = self.request(message) else {
            return Outcome::Failed(Failure::without_answer(FailureKind::NoEvent));
        };
        match self.target.call(request).await {
            Ok(answer) if answer.status.is_success() => Outcome::Delivered,
            Ok(answer) => Outcome::Failed(answered(&answer, None)),
            Err(error) => failed(&error),
        }
    }
}

fn answered(answer: &Answer, retry_after: Option<Duration>) -> Failure {
    let status = answer.status.as_u16();
    let kind = if status == 410 { FailureKind::Gone } else { FailureKind::Status };
    Failure { kind, status: Some(status), retry_after }
}

fn failed(error: &CallError) -> Outcome {
    let kind = match &error.reason {
        Reason::CircuitOpen | Reason::Busy { .. } | Reason::NoRoomInTime => {
            return Outcome::Unsent { after: error.retry_after.unwrap_or(CONNECT_LIMIT) };
        }
        Reason::Answered(answer) => return Outcome::Failed(answered(answer, error.retry_after)),
        Reason::TimedOut => FailureKind::TimedOut,
        Reason::Unreachable(_) => FailureKind::Unreachable,
        Reason::Lost(_) | Reason::TooLong { .. } => FailureKind::Lost,
        Reason::Path(_) | Reason::Key => FailureKind::NoEvent,
    };
    Outcome::Failed(Failure::without_answer(kind))
}

/// The HTTP client of one receiver. It follows no redirect, which could lead inside, and uses no
/// proxy, which would resolve the name by itself.
struct Http {
    client: reqwest::Client,
    url: ReceiverUrl,
    reach: Reach,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Http {
    fn new(url: ReceiverUrl, reach: Reach) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let client = client.connect_timeout(CONNECT_LIMIT).pool_idle_timeout(IDLE_LIMIT);
        let client = client.retry(reqwest::retry::never()).referer(false).tcp_nodelay(true);
        let client = client.dns_resolver(Resolver::new(reach.clone(), url.is_plain()));
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let client = if url.is_plain() { client.tls_certs_only([]) } else { client };
        Ok(Self { client: client.build()?, url, reach })
    }
}

/// The error of a connection that broke. It does not say the URL, which may hold a secret.
fn lost(error: reqwest::Error) -> SendError {
    SendError::Lost(Box::new(error.without_url()))
}

impl Transport for Http {
    async fn send(&self, request: &Request) -> Result<Answer, SendError> {
        // An address in the URL itself is not resolved, so the resolver does not see it.
        let reached = self.url.check(&self.reach);
        reached.map_err(|error| SendError::Unreachable(Box::new(error)))?;
        let sending = self.client.request(request.method.clone(), self.url.url().clone());
        let sending = sending.headers(request.headers.clone()).body(request.body.clone());
        let mut answer = sending.send().await.map_err(|error| {
            if error.is_connect() {
                SendError::Unreachable(Box::new(error.without_url()))
            } else {
                lost(error)
            }
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut read = 0;
        // The status says all. Of a body that is longer or breaks off, the rest is dropped with
        // its connection.
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > MAX_ANSWER {
                break;
            }
        }
        Ok(Answer { status, headers, body: Bytes::new() })
    }
}
