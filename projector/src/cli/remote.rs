//! A running projector's operations, through its admin port: asked for, followed, cancelled.

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

/// How long one answer may take: more than the admin port takes for one.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);
/// How often an operation is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// For how long a projector that does not answer is asked again: it may be restarting.
const AWAY_LIMIT: Duration = Duration::from_mins(2);

/// Whether something is done by a running projector, and who wants that.
#[derive(Debug, Args)]
pub(crate) struct ThroughArgs {
    /// Let a running projector do it, as an operation that outlives this command line: the address
    /// of its admin port.
    #[arg(long, value_name = "URL", env = "PROJECTOR_ADMIN_URL")]
    admin: Option<String>,
    /// Who asks for the operation, for the record; with --admin.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why, for the record; with --admin.
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
}

impl ThroughArgs {
    /// The running projector that is to do it, if one is.
    pub(super) fn remote(&self, reveal: bool) -> Result<Option<Remote>, CommandError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let (Some(by), Some(reason)) = (&self.by, &self.reason) else {
            return Err(CommandError::WhoAndWhy);
        };
        if reveal {
            return Err(CommandError::Revealing);
        }
        Ok(Some(Remote { admin: Admin::at(admin)?, by: by.clone(), reason: reason.clone() }))
    }
}

/// Why a running projector did not take or show an operation.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The HTTP library cannot make a client.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    /// There is no answer.
    #[error("no projector answers at {0}")]
    NoAnswer(String, #[source] reqwest::Error),
    /// There was none for long. The operation goes on, or is taken up later.
    #[error("operation {0} was not followed to its end: `projector operations {0}` shows it")]
    NotFollowed(Uuid, #[source] Box<RemoteError>),
    /// What was asked for is not valid.
    #[error("{0}")]
    Invalid(String),
    /// It was refused.
    #[error("{1}")]
    Refused(StatusCode, String),
    /// The answer is not one of a projector.
    #[error("what answers at {0} is no projector of this version")]
    Malformed(String, #[source] reqwest::Error),
}

impl RemoteError {
    /// Whether it may pass by itself.
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

/// A running projector's admin port.
pub(super) struct Admin {
    base: String,
    http: reqwest::Client,
}

/// Where a running projector is.
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
    /// The admin port, which is not asked yet.
    pub(super) fn reach(&self) -> Result<Admin, RemoteError> {
        Admin::at(&self.admin)
    }
}

impl Admin {
    pub(super) fn at(url: &str) -> Result<Self, RemoteError> {
        // It listens on loopback, where no proxy is and no certificate is needed.
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

    /// The operation of this id.
    pub(super) async fn find(&self, id: Uuid) -> Result<Operation, RemoteError> {
        self.call(Method::GET, &format!("{PATH}/{id}"), None).await
    }

    /// The newest operations.
    pub(super) async fn list(&self, limit: u32) -> Result<Vec<Operation>, RemoteError> {
        self.call(Method::GET, &format!("{PATH}?limit={limit}"), None).await
    }

    /// Asks for the end of an operation.
    pub(super) async fn cancel(&self, id: Uuid, by: &str) -> Result<Operation, RemoteError> {
        let body = json!({"by": by});
        self.call(Method::POST, &format!("{PATH}/{id}/cancel"), Some(body)).await
    }

    /// Follows an operation to its end.
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

/// A running projector that does something for somebody.
pub(super) struct Remote {
    admin: Admin,
    by: String,
    reason: String,
}

impl Remote {
    pub(super) const fn new(admin: Admin, by: String, reason: String) -> Self {
        Self { admin, by, reason }
    }

    /// Asks for an operation, and follows it to its end.
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

/// What an operation that has ended did or found.
pub(super) fn result_of<T: DeserializeOwned>(operation: &Operation) -> Result<T, CommandError> {
    let Operation { id, state, error, result, .. } = operation;
    match result {
        Some(result) => Ok(serde_json::from_value(result.clone())?),
        None => Err(CommandError::Operation {
            id: *id,
            state: state.clone(),
            why: error.clone().unwrap_or_else(|| "it says no more".to_owned()),
        }),
    }
}
