//! An HTTP client with retries. It retries with backoff until a deadline while the system cannot
//! take a request: it is down, starting or overloaded, or the same command is in flight. A refusal
//! is an error.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use local_servers::loopback_client;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::endpoints::Endpoints;
use crate::pauses;
use crate::token::Tokens;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The limit of one request. It exceeds every wait that the APIs allow.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The maximum `Retry-After` that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The answer to a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The id of the resource that the command created or changed.
    pub id: String,
}

/// A client of both APIs that remembers the newest position of its commands.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    tokens: Tokens,
    command_api: String,
    query_api: String,
    patience: Duration,
    newest: Mutex<Option<(i64, String)>>,
    commands: AtomicU64,
    replayed: AtomicU64,
    retries: AtomicU64,
}

#[derive(Deserialize)]
struct Envelope {
    data: Changed,
    meta: Meta,
}

#[derive(Deserialize)]
struct Changed {
    id: String,
}

#[derive(Deserialize)]
struct Meta {
    position: i64,
    consistency_token: String,
}

impl Client {
    /// Creates a client of the running stack.
    pub fn new(endpoints: &Endpoints, patience: Duration) -> anyhow::Result<Client> {
        let http = loopback_client(REQUEST_LIMIT).context("cannot create an HTTP client")?;
        let (command_api, query_api) = (endpoints.command_api.clone(), endpoints.query_api.clone());
        let [commands, replayed, retries] = [(); 3].map(|()| AtomicU64::new(0));
        Ok(Client {
            http,
            tokens: Tokens::of_operator()?,
            command_api,
            query_api,
            patience,
            newest: Mutex::new(None),
            commands,
            replayed,
            retries,
        })
    }

    /// Posts a command with its idempotency key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        let what = format!("POST {path} ({key})");
        let request = || {
            self.http
                .post(format!("{}{path}", self.command_api))
                .header("Idempotency-Key", key)
                .json(body)
        };
        let (replayed, bytes) = self.ask(&what, request).await?;
        let Envelope { data, meta } = serde_json::from_slice(&bytes)
            .with_context(|| format!("{what}: unexpected answer format"))?;
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.replayed.fetch_add(u64::from(replayed), Ordering::Relaxed);
        let mut newest = self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if newest.as_ref().is_none_or(|(position, _)| *position < meta.position) {
            *newest = Some((meta.position, meta.consistency_token));
        }
        Ok(Answer { id: data.id })
    }

    /// Queries the query API for data that includes every command of this client.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let token = self
            .newest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
            .map(|(_, token)| token);
        let what = format!("GET {path}");
        let request = || {
            let request = self
                .http
                .get(format!("{}{path}", self.query_api))
                .query(query)
                .header("Prefer", "wait=10");
            match &token {
                Some(token) => request.header("Consistency-Token", token),
                None => request,
            }
        };
        let (_, bytes) = self.ask(&what, request).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{what}: unexpected answer format"))
    }

    /// The number of commands answered, of those answered earlier, and of retries.
    pub fn counts(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.commands), load(&self.replayed), load(&self.retries))
    }

    /// Sends a request until it is answered. Returns whether it is a replayed answer, and its body.
    async fn ask(
        &self,
        what: &str,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> anyhow::Result<(bool, Vec<u8>)> {
        let deadline = Instant::now() + self.patience;
        let mut pauses = pauses::growing(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let request = request().bearer_auth(self.tokens.current()?);
            let (why, wait) = match try_once(request).await {
                Try::Done { replayed, body } => return Ok((replayed, body)),
                Try::Refused(why) => anyhow::bail!("{what}: {why}"),
                Try::NotNow(why, wait) => (why, wait),
            };
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            let wait = wait.unwrap_or_default().min(LONGEST_RETRY_AFTER).max(pause);
            anyhow::ensure!(
                Instant::now() + wait < deadline,
                "{what}: gave up after {} s: {why}",
                self.patience.as_secs()
            );
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
    }
}

enum Try {
    Done { replayed: bool, body: Vec<u8> },
    Refused(String),
    NotNow(String, Option<Duration>),
}

async fn try_once(request: reqwest::RequestBuilder) -> Try {
    const SHOWN: usize = 600;
    let response = match request.send().await {
        Ok(response) => response,
        // The connection failed, or the answer is late. The idempotency key makes a retry safe
        // whether or not the command took effect.
        Err(error) => return Try::NotNow(causes(&error), None),
    };
    let status = response.status();
    let seconds =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    let replayed =
        response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    let body = match response.bytes().await {
        Ok(body) => body.to_vec(),
        Err(error) => return Try::NotNow(causes(&error), None),
    };
    if status.is_success() {
        return Try::Done { replayed, body };
    }
    let why = format!(
        "{status}: {}",
        String::from_utf8_lossy(&body).chars().take(SHOWN).collect::<String>()
    );
    let in_flight = status == StatusCode::CONFLICT && retry_after.is_some();
    let away = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::BAD_GATEWAY,
        StatusCode::GATEWAY_TIMEOUT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if in_flight || away.contains(&status) {
        Try::NotNow(why, retry_after)
    } else {
        Try::Refused(why)
    }
}

/// Formats an error with its causes. reqwest's own text says only that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
