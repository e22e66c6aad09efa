//! Asks both APIs how they describe themselves, at the start and again and again. An API that is
//! away keeps its operations: a request for one of them is then answered with 503.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Both};
use crate::document::DOCUMENTS;
use crate::front::Front;
use crate::graphql;
use crate::known::{Description, Known};
use crate::schema::SchemaText;
use crate::upstream::{FetchError, Head, Upstream};

/// The interval between two rounds.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// The interval while an API has not been reached yet, as at the first start of a whole system.
const ASK_SOON: Duration = Duration::from_millis(250);
/// How long the front waits for both APIs at its start. Then it serves the one that it has reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this time without progress, asking is considered hung. Every round ends sooner: both APIs
/// are asked at once, for one document after another.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// The question for the schema.
const QUESTION: &str = r#"{"query": "{ _service { sdl } }"}"#;
const JSON: &str = "application/json";

/// The parts of health that asking reports to.
#[derive(Debug)]
pub struct Reports {
    /// Whether it is known which API answers what.
    routes: Component,
    /// Whether the last question to each API was answered.
    apis: Both<Component>,
    /// Whether their descriptions go together.
    descriptions: Component,
    /// Whether the GraphQL schema of both is known.
    schema: Component,
    pulse: Pulse,
}

/// Why an API did not describe itself.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// There was no answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It answered something else.
    #[error("it answered {0} when asked for {1}")]
    Unexpected(StatusCode, &'static str),
    /// Its answer is no answer of GraphQL.
    #[error("it did not answer the question for its GraphQL schema in JSON")]
    NoSchema(#[source] serde_json::Error),
}

impl Reports {
    /// Adds them to the health of the process. It is ready once it knows both APIs, or one of them
    /// after a while.
    pub fn new(health: &Health) -> Self {
        Self {
            routes: health.component("routes"),
            apis: Both {
                command: health.optional_component(Api::Command.name()),
                query: health.optional_component(Api::Query.name()),
            },
            descriptions: health.optional_component("descriptions"),
            schema: health.optional_component("graphql_schema"),
            pulse: health.pulse("asking", SILENCE_LIMIT),
        }
    }
}

/// Asks both APIs how they describe themselves, until cancelled.
pub async fn keep_asking(front: &Front, reports: &Reports, stop: CancellationToken) {
    stop.run_until_cancelled(rounds(front, reports)).await;
}

async fn rounds(front: &Front, reports: &Reports) {
    let started = Instant::now();
    let mut described: Both<Option<Description>> = Both::default();
    loop {
        reports.pulse.beat();
        let (command, query) =
            tokio::join!(ask(front.upstream(Api::Command)), ask(front.upstream(Api::Query)));
        let command = note(command, &reports.apis.command, &mut described.command);
        let query = note(query, &reports.apis.query, &mut described.query);
        if command || query {
            learn(front, &described, reports);
        }
        let known = front.known();
        let is_known = |api| !known.missing.contains(&api);
        let are_all = Api::ALL.into_iter().all(is_known);
        if are_all || (started.elapsed() > PATIENCE && Api::ALL.into_iter().any(is_known)) {
            reports.routes.ready();
        }
        match known.schema.unknown() {
            Some(why) => reports.schema.not_ready(why),
            None => reports.schema.ready(),
        }
        tokio::time::sleep(if are_all { ASK_EVERY } else { ASK_SOON }).await;
    }
}

/// Notes what an API said. Returns whether it is something new.
fn note(
    asked: Result<Description, AskError>,
    component: &Component,
    known: &mut Option<Description>,
) -> bool {
    match asked {
        Ok(description) => {
            component.ready();
            let is_new = known.as_ref() != Some(&description);
            *known = Some(description);
            is_new
        }
        Err(error) => {
            component.not_ready(cli_kit::describe(&error));
            false
        }
    }
}

/// Learns how both describe themselves. Descriptions that do not go together change nothing.
fn learn(front: &Front, described: &Both<Option<Description>>, reports: &Reports) {
    match Known::of(described) {
        Ok(known) => {
            tracing::info!(
                documents = known.documents.len(),
                missing = known.missing.len(),
                "what the APIs describe is known"
            );
            front.learn(known);
            reports.descriptions.ready();
        }
        Err(conflict) => {
            let error = cli_kit::describe(&conflict);
            tracing::error!(error, "the descriptions of the APIs do not go together");
            reports.descriptions.not_ready(error);
        }
    }
}

async fn ask(upstream: &Upstream) -> Result<Description, AskError> {
    let mut documents = Vec::new();
    for (_, path) in DOCUMENTS {
        let head = head(Method::GET, path);
        match upstream.fetch(&head, &Bytes::new()).await? {
            (StatusCode::OK, document) => documents.push(document),
            // It has no such version, and none after it.
            (StatusCode::NOT_FOUND, _) if !documents.is_empty() => break,
            (status, _) => return Err(AskError::Unexpected(status, path)),
        }
    }
    Ok(Description { documents, schema: ask_schema(upstream).await? })
}

async fn ask_schema(upstream: &Upstream) -> Result<SchemaText, AskError> {
    let mut head = head(Method::POST, graphql::PATH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let answer = upstream.fetch(&head, &Bytes::from_static(QUESTION.as_bytes())).await?;
    let body: Value = match answer {
        (StatusCode::OK, body) => serde_json::from_slice(&body).map_err(AskError::NoSchema)?,
        (StatusCode::NOT_FOUND, _) => return Ok(SchemaText::Absent),
        (status, _) => return Err(AskError::Unexpected(status, graphql::PATH)),
    };
    let text = body["data"]["_service"]["sdl"].as_str();
    Ok(text.map_or(SchemaText::Hidden, |text| SchemaText::Shown(text.to_owned())))
}

fn head(method: Method, path: &'static str) -> Head {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(JSON))]);
    Head { method, target: PathAndQuery::from_static(path), headers }
}
