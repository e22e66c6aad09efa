//! Sends requests over HTTP.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;

use crate::address::{Address, InvalidAddress};
use crate::answer::Answer;
use crate::request::Request;
use crate::settings::Settings;

/// The time limit of a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a connection is kept without use.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Sends one request and takes its whole answer. The caller limits the time.
pub trait Transport: Send + Sync {
    /// Sends a request.
    ///
    /// # Errors
    /// [`SendError`].
    fn send(&self, request: &Request) -> impl Future<Output = Result<Answer, SendError>> + Send;
}

/// Why there is no answer.
#[derive(Debug)]
pub enum SendError {
    /// The request's path is not below the target's address. Nothing was sent.
    Path(InvalidAddress),
    /// No connection could be made. Nothing was sent.
    Unreachable(Box<dyn Error + Send + Sync>),
    /// The connection broke. The request may have arrived.
    Lost(Box<dyn Error + Send + Sync>),
    /// The answer is longer than it may be. The request arrived.
    TooLong {
        /// The maximum length, in bytes.
        limit: usize,
    },
}

/// The HTTP client of one target. It follows no redirect, which could lead anywhere with the
/// secrets of the request. It uses no proxy, and has at most one connection for each request under
/// way.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    address: Address,
    max_answer: usize,
}

impl Http {
    /// A client for the target at an address.
    ///
    /// # Errors
    /// The certificates of the system cannot be used.
    pub fn new(address: Address, settings: &Settings) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let client = client.connect_timeout(CONNECT_LIMIT).pool_idle_timeout(IDLE_LIMIT);
        let client = client.pool_max_idle_per_host(settings.bulkhead.at_once).tcp_nodelay(true);
        // This crate decides about retries.
        let client = client.retry(reqwest::retry::never());
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let client = if address.is_plain() { client.tls_certs_only([]) } else { client };
        Ok(Self { client: client.build()?, address, max_answer: settings.max_answer })
    }

    /// The whole body, unless it is too long.
    async fn body(&self, mut answer: reqwest::Response) -> Result<Bytes, SendError> {
        let limit = self.max_answer;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > limit {
                return Err(SendError::TooLong { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// The error of a connection that broke. It does not say the address, whose path may hold ids.
fn lost(error: reqwest::Error) -> SendError {
    SendError::Lost(Box::new(error.without_url()))
}

impl Transport for Http {
    async fn send(&self, request: &Request) -> Result<Answer, SendError> {
        let url = self.address.at(&request.path).map_err(SendError::Path)?;
        let sending = self.client.request(request.method.clone(), url);
        let sending = sending.headers(request.headers.clone()).body(request.body.clone());
        let answer = sending.send().await.map_err(|error| {
            if error.is_connect() {
                SendError::Unreachable(Box::new(error.without_url()))
            } else {
                lost(error)
            }
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: self.body(answer).await? })
    }
}
