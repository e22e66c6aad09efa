//! What is asked of a target.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

/// The header that carries the idempotency key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether a request may be sent again when nobody knows whether it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing, so it never takes effect.
    Reads,
    /// The target recognises a repeat by this key, which is sent as `Idempotency-Key`.
    WithKey(String),
    /// It may take effect twice. It is repeated only if it surely took none.
    Unsafe,
}

impl Repeat {
    /// A repeat is recognised by this key.
    pub fn with_key(key: impl Into<String>) -> Self {
        Self::WithKey(key.into())
    }
}

/// A request to a target. Its `Debug` shows neither headers nor body: they hold secrets and
/// personal data.
#[derive(Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path below the target's address, with a query if it has one. It begins with a slash.
    pub path: String,
    /// The headers. The call adds the idempotency key and the trace context.
    pub headers: HeaderMap,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// The W3C trace context of the caller. Each attempt becomes a span of its trace.
    pub traceparent: Option<String>,
    /// The time limit of all attempts, if it is shorter than that of the target.
    pub total_limit: Option<Duration>,
}

impl Request {
    /// A request that reads.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Bytes::new(), Repeat::Reads)
    }

    /// A request that changes something. See [`Request::repeat`].
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path, body.into(), Repeat::Unsafe)
    }

    fn new(method: Method, path: impl Into<String>, body: Bytes, repeat: Repeat) -> Self {
        let (path, headers) = (path.into(), HeaderMap::new());
        Self { method, path, headers, body, repeat, traceparent: None, total_limit: None }
    }

    /// Says whether the request may be repeated.
    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Sets a header, in place of one with the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Makes the request part of a trace.
    #[must_use]
    pub fn traceparent(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// Limits the time of all attempts.
    #[must_use]
    pub const fn total_limit(mut self, limit: Option<Duration>) -> Self {
        self.total_limit = limit;
        self
    }

    /// Puts the idempotency key into its header.
    ///
    /// # Errors
    /// The key has characters that a header cannot have.
    pub(crate) fn seal(&mut self) -> Result<(), InvalidHeaderValue> {
        if let Repeat::WithKey(key) = &self.repeat {
            self.headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(key)?);
        }
        Ok(())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}, {} bytes)", self.method, self.body.len())
    }
}
