//! The client of a running process's operations API, for command lines: starts, follows, lists and
//! cancels operations through the admin port. Every request carries the access token, if there is
//! one.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service_kit::config::SecretError;
use service_kit::operations::PATH;
use tokio::time::Instant;
use uuid::Uuid;

pub use token::{Token, TokenArgs};

mod token;

/// How long one request may take. The admin port answers within less.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);
/// The maximum length of an answer, in bytes. A list of the longest records stays below it.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How often to ask how far an operation is.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// How long to retry while the process does not answer: it may be restarting.
const AWAY_LIMIT: Duration = Duration::from_mins(2);

/// The advice for a caller without a token.
const ANY_TOKEN: &str = "put an access token into DAYBOOK_TOKEN, or name its file with \
    --token-file (`cargo stack token` prints one for a local stack)";
/// The advice for a caller whose token is refused.
const NEW_TOKEN: &str = "an access token is valid for some minutes, and for one deployment: put a \
    new one into DAYBOOK_TOKEN or --token-file";
/// The advice for a caller without the permission.
const OTHER_TOKEN: &str = "use an access token of somebody who holds it, such as an administrator";

/// The program that runs the operations.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// What people call the process, such as `projector`.
    pub noun: &'static str,
    /// The program whose `operations ID` shows an operation.
    pub program: &'static str,
}

/// A recorded operation, as a program's API answers with it: the program's own record, and what the
/// client needs to know of it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value", bound = "T: DeserializeOwned")]
pub struct Recorded<T> {
    /// The record, with all fields of the program's kind.
    pub record: T,
    common: Common,
}

/// The fields that every program's record has.
#[derive(Debug, Deserialize)]
struct Common {
    id: Uuid,
    state: String,
    result: Option<Value>,
    error: Option<String>,
    cancelled_by: Option<String>,
    finished_at: Option<String>,
}

impl<T: DeserializeOwned> TryFrom<Value> for Recorded<T> {
    type Error = serde_json::Error;

    fn try_from(answer: Value) -> Result<Self, serde_json::Error> {
        let common = Common::deserialize(&answer)?;
        Ok(Self { record: serde_json::from_value(answer)?, common })
    }
}

impl<T> Recorded<T> {
    /// Reads the result of an operation that has ended.
    ///
    /// # Errors
    /// [`RemoteError::Ended`]: it has no result, because it failed or was cancelled.
    /// [`RemoteError::Result`]: the result is not what was expected.
    pub fn result<R: DeserializeOwned>(self) -> Result<R, RemoteError> {
        let Common { id, state, result, error, cancelled_by, .. } = self.common;
        if let Some(result) = result {
            return Ok(serde_json::from_value(result)?);
        }
        let why = error.or_else(|| cancelled_by.map(|by| format!("by {by}")));
        let why = why.unwrap_or_else(|| "no reason is recorded".to_owned());
        Err(RemoteError::Ended { id, state, why })
    }
}

/// Why a running process did not accept or show an operation, or why it has no result.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The HTTP client could not be created.
    #[error("could not create an HTTP client")]
    Client(#[source] reqwest::Error),
    /// Nothing answers at this address.
    #[error("no {0} answers at {1}")]
    NoAnswer(&'static str, String, #[source] reqwest::Error),
    /// The process did not answer for too long. The operation continues without this process.
    #[error(
        "lost sight of operation {id}, which may still run: `{program} operations {id}` shows it"
    )]
    NotFollowed {
        /// The id of the operation.
        id: Uuid,
        /// The program that shows it.
        program: &'static str,
        /// Why it could not be followed.
        source: Box<RemoteError>,
    },
    /// The settings name two access tokens, or one that cannot be read.
    #[error(transparent)]
    Setting(#[from] SecretError),
    /// The access token is empty or has characters that no token has. The text is not shown,
    /// because it may be a secret.
    #[error("the access token is not one: see DAYBOOK_TOKEN and --token-file")]
    NotAToken,
    /// The address is on another machine and has no TLS, so others could read the access token.
    #[error("{0} is not on this machine, so an access token is sent there only under https")]
    Exposed(String),
    /// The process refuses the caller: the access token is missing, is not valid, or lacks the
    /// permission. The second text says what to do.
    #[error("{0}: {1}")]
    SignIn(String, &'static str),
    /// An argument is not valid; the text names it.
    #[error("{0}")]
    Invalid(String),
    /// The process refused the request; the text says why.
    #[error("{1}")]
    Refused(StatusCode, String),
    /// The answer cannot be read.
    #[error("the answer from {1} is not that of a {0} of this version")]
    Malformed(&'static str, String, #[source] serde_json::Error),
    /// The answer is longer than [`MAX_ANSWER`].
    #[error("the answer from {1} is too long for that of a {0}")]
    TooLong(&'static str, String),
    /// The result of an operation cannot be read.
    #[error("the result of the operation cannot be read")]
    Result(#[from] serde_json::Error),
    /// The operation failed or was cancelled.
    #[error("operation {id} ended as {state}: {why}")]
    Ended {
        /// The id of the operation.
        id: Uuid,
        /// `failed` or `cancelled`.
        state: String,
        /// The reason, as the process recorded it.
        why: String,
    },
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

/// A client of a process's admin port.
#[derive(Debug)]
pub struct Admin {
    server: Server,
    base: String,
    token: Token,
    http: reqwest::Client,
}

impl Admin {
    /// Creates a client that sends this token, if there is one. It connects with the first request.
    ///
    /// # Errors
    /// [`RemoteError::Client`]. [`RemoteError::Exposed`] if the token would be sent to another
    /// machine without TLS.
    pub fn at(server: Server, url: &str, token: Token) -> Result<Self, RemoteError> {
        if token.is_there() && !token::is_private(url) {
            return Err(RemoteError::Exposed(url.to_owned()));
        }
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).no_proxy();
        // A request that a person signed is for this process only.
        let client = client.redirect(Policy::none());
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let is_tls = url.parse::<Url>().is_ok_and(|url| url.scheme() == "https");
        let client = if is_tls { client } else { client.tls_certs_only([]) };
        let http = client.build().map_err(RemoteError::Client)?;
        Ok(Self { server, base: url.trim_end_matches('/').to_owned(), token, http })
    }

    /// Whether requests carry an access token.
    pub const fn has_token(&self) -> bool {
        self.token.is_there()
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, RemoteError> {
        let (noun, place) = (self.server.noun, || self.base.clone());
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let request = match self.token.header()? {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
        let sent = request.send().await;
        let answer = sent.map_err(|error| RemoteError::NoAnswer(noun, place(), error))?;
        let status = answer.status();
        let malformed = |error| RemoteError::Malformed(noun, place(), error);
        // An answer that is cut off is none: the process may have died in the middle of it.
        let cut = |error| RemoteError::NoAnswer(noun, place(), error);
        let body = read(answer).await.map_err(cut)?;
        let body = body.ok_or_else(|| RemoteError::TooLong(noun, place()))?;
        if status.is_success() {
            return Ok(serde_json::from_slice::<Answer<T>>(&body).map_err(malformed)?.data);
        }
        let words = serde_json::from_slice::<ProblemBody>(&body).map_err(malformed)?.in_words();
        Err(match status {
            StatusCode::UNPROCESSABLE_ENTITY => RemoteError::Invalid(words),
            StatusCode::UNAUTHORIZED if self.token.is_there() => {
                RemoteError::SignIn(words, NEW_TOKEN)
            }
            StatusCode::UNAUTHORIZED => RemoteError::SignIn(words, ANY_TOKEN),
            StatusCode::FORBIDDEN => RemoteError::SignIn(words, OTHER_TOKEN),
            status => RemoteError::Refused(status, words),
        })
    }

    /// Returns the `data` of the answer at this path of the admin port.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a request that is carried out before it is answered. `by` is for a process that takes
    /// no access tokens.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Value,
        by: Option<&str>,
    ) -> Result<T, RemoteError> {
        let body = self.signed(body, by);
        self.call(Method::POST, path, Some(&body)).await
    }

    /// Returns the operation with this id.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn find<T: DeserializeOwned>(&self, id: Uuid) -> Result<Recorded<T>, RemoteError> {
        self.call(Method::GET, &format!("{PATH}/{id}"), None).await
    }

    /// Returns the newest operations.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn list<T: DeserializeOwned>(&self, limit: u32) -> Result<Vec<T>, RemoteError> {
        self.call(Method::GET, &format!("{PATH}?limit={limit}"), None).await
    }

    /// Asks to cancel an operation. `by` is for a process that takes no access tokens.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn cancel<T: DeserializeOwned>(
        &self,
        id: Uuid,
        by: Option<&str>,
    ) -> Result<T, RemoteError> {
        let body = self.signed(json!({}), by);
        self.call(Method::POST, &format!("{PATH}/{id}/cancel"), Some(&body)).await
    }

    /// The body of a request. `by` is added unless the access token names the caller.
    fn signed(&self, mut body: Value, by: Option<&str>) -> Value {
        if let Some(by) = by.filter(|_| !self.has_token()) {
            body["by"] = by.into();
        }
        body
    }

    /// Asks for an operation and follows it until it ends. `show` receives each state before. `by`
    /// is for a process that takes no access tokens.
    ///
    /// # Errors
    /// [`RemoteError`]: [`RemoteError::NotFollowed`] if the operation may still run.
    pub async fn carry_out<T: DeserializeOwned>(
        &self,
        request: Value,
        by: Option<&str>,
        show: impl Fn(&T),
    ) -> Result<Recorded<T>, RemoteError> {
        let request = self.signed(request, by);
        let asked = self.call::<Recorded<T>>(Method::POST, PATH, Some(&request)).await?;
        let id = asked.common.id;
        let mut answered_at = Instant::now();
        loop {
            match self.find::<T>(id).await {
                Ok(operation) if operation.common.finished_at.is_some() => return Ok(operation),
                Ok(operation) => {
                    answered_at = Instant::now();
                    show(&operation.record);
                }
                Err(error) if error.passes() && answered_at.elapsed() < AWAY_LIMIT => {}
                Err(error) => {
                    let (program, source) = (self.server.program, Box::new(error));
                    return Err(RemoteError::NotFollowed { id, program, source });
                }
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }
}

/// Reads a body; `None` if it is longer than [`MAX_ANSWER`].
async fn read(mut answer: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests;
