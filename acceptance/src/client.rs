//! A client of both APIs, like a frontend.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_servers::loopback_client;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use stack::token::Tokens;

use crate::live_stream::{LiveStream, STREAM_LIMIT, opened};

const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// The answer of an API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: reqwest::header::HeaderMap,
    /// The JSON body, or null if there is none.
    pub body: Value,
}

/// A client of a command API and a query API, with the rights of an administrator unless told
/// otherwise.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The tokens that it sends; none if it is nobody.
    tokens: Option<Arc<Tokens>>,
    commands: String,
    queries: String,
}

impl Client {
    /// Creates a client of the two APIs that sends these tokens. The addresses have no slash at the
    /// end.
    pub fn new(commands: &str, queries: &str, tokens: Tokens) -> Result<Client> {
        let http = loopback_client(REQUEST_LIMIT)?;
        let (commands, queries) = (commands.to_owned(), queries.to_owned());
        Ok(Client { http, tokens: Some(Arc::new(tokens)), commands, queries })
    }

    /// The same client without a token.
    #[must_use]
    pub fn as_nobody(&self) -> Client {
        Client { tokens: None, ..self.clone() }
    }

    /// Posts a command.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.command(Method::POST, path, Some(body), &[]).await
    }

    /// Sends a command with a method, headers and optionally a body.
    pub async fn command(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.commands));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    /// Sends a query.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.answer(self.http.get(format!("{}{path}", self.queries))).await
    }

    /// Sends a query with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.http.get(format!("{}{path}", self.queries));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request).await
    }

    /// Posts a question to the query API, with headers.
    pub async fn ask(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.http.post(format!("{}{path}", self.queries)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request).await
    }

    /// Sends a query that waits for the position of a command's answer (P10).
    pub async fn get_after(&self, path: &str, command: &Answer) -> Result<Answer> {
        self.get_with(
            path,
            &[("consistency-token", command.header("consistency-token")?), ("prefer", "wait=10")],
        )
        .await
    }

    /// Follows what a path names. With an id, the stream goes on behind that event.
    pub async fn follow(&self, path: &str, last_id: Option<&str>) -> Result<LiveStream> {
        let request = self.http.get(format!("{}{path}", self.queries));
        let mut request = request.header("accept", "text/event-stream").timeout(STREAM_LIMIT);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        opened(request.send().await?).await
    }

    /// The token that it sends now; none if it is nobody.
    pub fn token(&self) -> Result<Option<Arc<str>>> {
        self.tokens.as_ref().map(|tokens| tokens.current()).transpose()
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        match self.token()? {
            Some(token) => answer(request.bearer_auth(token)).await,
            None => answer(request).await,
        }
    }

    /// Reads a whole list, page by page with its cursor.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}page_size=100");
        let mut next = first.clone();
        let mut items = Vec::new();
        loop {
            let page = self.get(&next).await?.expect(StatusCode::OK)?;
            items.extend(page.body["data"].as_array().context("a list")?.iter().cloned());
            match page.body["meta"]["page"]["next_cursor"].as_str() {
                Some(cursor) => next = format!("{first}&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await?;
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).context("a JSON body")?
    };
    Ok(Answer { status, headers, body })
}

impl Answer {
    /// Returns the answer if it has this status, or else an error with its body.
    pub fn expect(self, status: StatusCode) -> Result<Answer> {
        ensure!(self.status == status, "expected {status}, got {}: {}", self.status, self.body);
        Ok(self)
    }

    /// Returns a header's text.
    pub fn header(&self, name: &str) -> Result<&str> {
        let value =
            self.headers.get(name).with_context(|| format!("the header {name} is absent"))?;
        Ok(value.to_str()?)
    }

    /// Returns the data of the envelope.
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// Returns the id in the data.
    pub fn id(&self) -> Result<&str> {
        self.data()["id"].as_str().with_context(|| format!("no id in {}", self.body))
    }

    /// Returns the position in the metadata.
    pub fn position(&self) -> Result<i64> {
        self.body["meta"]["position"]
            .as_i64()
            .with_context(|| format!("no position in {}", self.body))
    }

    /// Returns the stable code of a problem.
    pub fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }
}
