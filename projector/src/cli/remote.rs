//! The client of a running projector's operations API: starts, follows, lists and cancels
//! operations through the admin port.

use std::time::Duration;

use clap::Args;
use projection::operation::Operation;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::CommandError;
use super::progress::Bar;
use crate::operations::PATH;
use event_store::Position;

/// How long one request may take. The admin port answers within less.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);
/// How often to ask how far an operation is.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// How long to retry while the projector does not answer: it may be restarting.
const AWAY_LIMIT: Duration = Duration::from_mins(2);

/// Selects a running projector to do the work.
#[derive(Debug, Args)]
pub(crate) struct ThroughAdmin {
    /// Let a running projector do the work, as an operation that outlives this command line. The
    /// value is the address of its admin port.
    #[arg(long, value_name = "URL", env = "PROJECTOR_ADMIN_URL")]
    admin: Option<String>,
}

impl ThroughAdmin {
    /// Returns the selected projector; `None` if this process does the work.
    pub(super) fn remote(&self, by: &str, reason: &str) -> Result<Option<Remote>, RemoteError> {
        let remote = |url: &String| {
            let (by, reason) = (by.to_owned(), reason.to_owned());
            Ok(Remote::new(Admin::at(url)?, by, reason))
        };
        self.admin.as_ref().map(remote).transpose()
    }
}

/// Selects a running projector to do the work, and names who asks for it and why.
#[derive(Debug, Args)]
pub(crate) struct ThroughArgs {
    #[command(flatten)]
    through: ThroughAdmin,
    /// Who asks for the operation, for the record. Needed with --admin.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why, for the record. Needed with --admin.
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
}

impl ThroughArgs {
    /// Returns the selected projector; `None` if this process does the work.
    pub(super) fn remote(&self) -> Result<Option<Remote>, CommandError> {
        match (&self.through.admin, &self.by, &self.reason) {
            (None, ..) => Ok(None),
            (Some(_), Some(by), Some(reason)) => Ok(self.through.remote(by, reason)?),
            (Some(_), ..) => Err(CommandError::WhoAndWhy),
        }
    }

    /// Returns the selected projector for work whose result may hold personal values.
    ///
    /// # Errors
    /// [`CommandError::Revealing`] if they are to be shown: a projector records its results.
    pub(super) fn remote_hiding(&self, reveal: bool) -> Result<Option<Remote>, CommandError> {
        match self.remote()? {
            Some(_) if reveal => Err(CommandError::Revealing),
            remote => Ok(remote),
        }
    }
}

/// Why a running projector did not accept or show an operation.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The HTTP client could not be created.
    #[error("could not create an HTTP client")]
    Client(#[source] reqwest::Error),
    /// Nothing answers at this address.
    #[error("no projector answers at {0}")]
    NoAnswer(String, #[source] reqwest::Error),
    /// The projector did not answer for too long. The operation continues without this process.
    #[error(
        "lost sight of operation {0}, which may still run: `projector operations {0}` shows it"
    )]
    NotFollowed(Uuid, #[source] Box<RemoteError>),
    /// An argument is not valid; the text names it.
    #[error("{0}")]
    Invalid(String),
    /// The projector refused the request; the text says why.
    #[error("{1}")]
    Refused(StatusCode, String),
    /// The answer cannot be read.
    #[error("the answer from {0} is not that of a projector of this version")]
    Malformed(String, #[source] reqwest::Error),
}

impl RemoteError {
    /// Whether a retry may succeed.
    fn passes(&self) -> bool {
        match self {
            Self::NoAnswer(..) => true,
            Self::Refused(status, _) => status.is_server_error(),
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct ProblemBody {
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<WrongField>,
}

#[derive(Deserialize)]
struct WrongField {
    pointer: String,
    detail: String,
}

impl ProblemBody {
    fn in_words(self) -> String {
        let errors = self
            .errors
            .into_iter()
            .map(|wrong| format!("{} {}", wrong.pointer.trim_start_matches('/'), wrong.detail));
        let details: Vec<String> = self.detail.into_iter().chain(errors).collect();
        if details.is_empty() {
            return self.title;
        }
        format!("{}: {}", self.title, details.join("; "))
    }
}

/// A client of a projector's admin port.
pub(super) struct Admin {
    base: String,
    http: reqwest::Client,
}

/// Names the running projector to ask.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    /// The address of a running projector's admin port.
    #[arg(
        long,
        value_name = "URL",
        env = "PROJECTOR_ADMIN_URL",
        default_value = "http://127.0.0.1:9083"
    )]
    admin: String,
}

impl AdminArgs {
    /// Creates the client. It connects with the first request.
    pub(super) fn reach(&self) -> Result<Admin, RemoteError> {
        Admin::at(&self.admin)
    }
}

impl Admin {
    pub(super) fn at(url: &str) -> Result<Self, RemoteError> {
        // The port listens on loopback, so no proxy and no certificates are needed.
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).no_proxy();
        let http = client.tls_certs_only([]).build().map_err(RemoteError::Client)?;
        Ok(Self { base: url.trim_end_matches('/').to_owned(), http })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, RemoteError> {
        let place = || self.base.clone();
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.map_err(|error| RemoteError::NoAnswer(place(), error))?;
        let status = answer.status();
        let malformed = |error| RemoteError::Malformed(place(), error);
        if status.is_success() {
            return Ok(answer.json::<Answer<T>>().await.map_err(malformed)?.data);
        }
        let words = answer.json::<ProblemBody>().await.map_err(malformed)?.in_words();
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            return Err(RemoteError::Invalid(words));
        }
        Err(RemoteError::Refused(status, words))
    }

    /// Returns the operation with this id.
    pub(super) async fn find(&self, id: Uuid) -> Result<Operation, RemoteError> {
        self.call(Method::GET, &format!("{PATH}/{id}"), None).await
    }

    /// Returns the newest operations.
    pub(super) async fn list(&self, limit: u32) -> Result<Vec<Operation>, RemoteError> {
        self.call(Method::GET, &format!("{PATH}?limit={limit}"), None).await
    }

    /// Asks to cancel an operation.
    pub(super) async fn cancel(&self, id: Uuid, by: &str) -> Result<Operation, RemoteError> {
        let body = json!({"by": by});
        self.call(Method::POST, &format!("{PATH}/{id}/cancel"), Some(body)).await
    }

    /// Follows an operation until it ends, and shows its progress.
    async fn follow(&self, id: Uuid) -> Result<Operation, RemoteError> {
        let (bar, mut answered_at) = (Bar::new(), Instant::now());
        loop {
            match self.find(id).await {
                Ok(operation) if operation.is_finished() => return Ok(operation),
                Ok(operation) => {
                    answered_at = Instant::now();
                    if let Some(work) = &operation.work {
                        bar.show(
                            work,
                            Position(operation.position),
                            Position(operation.end_position),
                        );
                    }
                }
                Err(error) if error.passes() && answered_at.elapsed() < AWAY_LIMIT => {}
                Err(error) => return Err(RemoteError::NotFollowed(id, Box::new(error))),
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }
}

/// A running projector, and the person who asks it for operations.
pub(super) struct Remote {
    admin: Admin,
    by: String,
    reason: String,
}

impl Remote {
    pub(super) const fn new(admin: Admin, by: String, reason: String) -> Self {
        Self { admin, by, reason }
    }

    /// Starts an operation, and follows it until it ends.
    pub(super) async fn carry_out(
        &self,
        kind: &str,
        projection: &str,
        arguments: Value,
    ) -> Result<Operation, RemoteError> {
        let body = json!({
            "kind": kind,
            "projection": projection,
            "by": self.by,
            "reason": self.reason,
            "arguments": arguments,
        });
        let asked: Operation = self.admin.call(Method::POST, PATH, Some(body)).await?;
        self.admin.follow(asked.id).await
    }
}

/// Reads the result of an operation that has ended.
///
/// # Errors
/// [`CommandError::Operation`]: it has no result, because it failed or was cancelled.
pub(super) fn result_of<T: DeserializeOwned>(operation: &Operation) -> Result<T, CommandError> {
    let Operation { id, state, error, result, cancelled_by, .. } = operation;
    if let Some(result) = result {
        return Ok(serde_json::from_value(result.clone())?);
    }
    let by = cancelled_by.as_ref().map(|by| format!("by {by}"));
    let why = error.clone().or(by).unwrap_or_else(|| "no reason is recorded".to_owned());
    Err(CommandError::Operation { id: *id, state: state.clone(), why })
}
