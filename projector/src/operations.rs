//! The operations on the admin port: `/admin/v1/operations`.
//!
//! A request is only recorded and answered with 202; an executor carries it out, in this process or
//! in another one (`projection/src/operation.rs`). So no answer has to wait for a rebuild, and none
//! is lost with a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use postgres_kit::Connection;
use projection::AnyProjection;
use projection::chain;
use projection::operation::record::{self, AddError, Asked, Cancelled};
use projection::operation::{Kind, MAX_UNFINISHED, Operation, Task};
use projection::ops;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service_kit::body::read_body;
use service_kit::extract::{Json, Path, Query, parse_json, require_json};
use service_kit::http::RequestId;
use service_kit::input::{Id, Integer, Text};
use service_kit::{Envelope, FieldError, Meta, Problem, clock};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Notify, Semaphore};

/// The path of the collection.
pub(crate) const PATH: &str = "/admin/v1/operations";
/// How many requests may hold a connection to the read model at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a request waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// How many operations a list holds unless it is told otherwise, and at most.
const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;
/// When another try is worth it while the read model is away, in seconds.
const RETRY_LATER: u64 = 2;

/// What the routes work on.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    turns: Semaphore,
}

/// The routes. `wake` tells the process's executor that there is something to do.
pub(crate) fn routes(
    options: PgConnectOptions,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
) -> Router {
    let turns = Semaphore::new(MAX_CONNECTIONS);
    Router::new()
        .route(PATH, get(list).post(add))
        .route(&format!("{PATH}/{{id}}"), get(find))
        .route(&format!("{PATH}/{{id}}/cancel"), post(cancel))
        .with_state(Api(Arc::new(Inner { options, projections, wake, turns })))
}

/// A request for an operation. Its arguments depend on its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedBody<A> {
    kind: String,
    projection: String,
    by: String,
    reason: String,
    #[serde(default)]
    arguments: A,
}

/// The wish to cancel one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    by: String,
}

/// Which operations a list holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    before: Option<Id>,
    limit: Option<Text<Integer>>,
}

async fn add(
    State(api): State<Api>,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let bytes = read_body(request.into_body()).await?;
    let body = parse_json::<AskedBody<Option<IgnoredAny>>>(&bytes)?;
    let mut wrong = Vec::new();
    words("/by", &body.by, &mut wrong);
    words("/reason", &body.reason, &mut wrong);
    let kind = Kind::named(&body.kind);
    if kind.is_none() {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let text = format!("expected one of {}", kinds.join(", "));
        wrong.push(FieldError::new("/kind", "unknown", text));
    }
    let projection = api.0.projections.iter().find(|known| known.name() == body.projection);
    if projection.is_none() {
        let names: Vec<&str> = api.0.projections.iter().map(|known| known.name()).collect();
        let text = format!("expected one of {}", names.join(", "));
        wrong.push(FieldError::new("/projection", "unknown", text));
    }
    let task = kind.map(|kind| task(kind, &bytes)).transpose()?;
    if let (Some(task), Some(projection)) = (&task, projection) {
        wrong.extend(task.check(projection.as_ref()));
    }
    let (Some(task), Some(projection), true) = (task, projection, wrong.is_empty()) else {
        return Err(Problem::invalid(wrong));
    };
    let asked = Asked { task: &task, by: &body.by, reason: &body.reason };
    let added = api
        .with(async |connection: &mut Connection| {
            record::add(connection, projection.as_ref(), asked).await
        })
        .await?
        .map_err(not_added)?;
    api.0.wake.notify_one();
    Ok(accepted(request_id, added))
}

async fn list(
    State(api): State<Api>,
    request_id: RequestId,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = match query.limit.map(|limit| u32::try_from(limit.0.get())) {
        None => PAGE,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => {
            let text = format!("1 to {MAX_PAGE} are possible");
            return Err(Problem::invalid(vec![FieldError::new("/limit", "out-of-range", text)]));
        }
    };
    let before = query.before.map(Id::get);
    let found = api
        .with(async |connection: &mut Connection| record::list(connection, before, limit).await)
        .await?
        .map_err(|error| failed(&error))?;
    Ok(envelope(request_id, found).into_response())
}

async fn find(
    State(api): State<Api>,
    request_id: RequestId,
    Path(id): Path<Id>,
) -> Result<Response, Problem> {
    let found = api
        .with(async |connection: &mut Connection| record::find(connection, id.get()).await)
        .await?
        .map_err(|error| failed(&error))?;
    Ok(envelope(request_id, found.ok_or_else(Problem::not_found)?).into_response())
}

async fn cancel(
    State(api): State<Api>,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let mut wrong = Vec::new();
    words("/by", &body.by, &mut wrong);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let cancelled = api
        .with(async |connection: &mut Connection| {
            record::cancel(connection, id.get(), &body.by).await
        })
        .await?
        .map_err(|error| failed(&error))?;
    match cancelled {
        Cancelled::Wanted(operation) => Ok(accepted(request_id, *operation)),
        Cancelled::Finished(operation) => {
            Err(Problem::conflict("operation/finished", "The operation has ended already")
                .detail(format!("it has {}", operation.state)))
        }
        Cancelled::Unknown => Err(Problem::not_found()),
    }
}

impl Api {
    /// Does something on a connection of its own.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> T) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let title = "Too many requests wait for the read model";
            return Err(Problem::shed("too-many-requests", title, RETRY_LATER));
        };
        let mut connection =
            ops::read_model(&self.0.options).await.map_err(|error| failed(&error))?;
        let done = work(&mut connection).await;
        connection.close().await;
        Ok(done)
    }
}

/// What is asked for, with the arguments of its kind.
fn task(kind: Kind, body: &[u8]) -> Result<Task, Problem> {
    Ok(match kind {
        Kind::Rebuild => Task::Rebuild(arguments(body)?),
        Kind::Verify => Task::Verify(arguments(body)?),
        Kind::Switch => Task::Switch(arguments(body)?),
        Kind::Drop => Task::Drop(arguments(body)?),
        Kind::Pause => Task::Pause(arguments(body)?),
        Kind::Resume => Task::Resume(arguments(body)?),
        Kind::ParkedRetry => Task::ParkedRetry(arguments(body)?),
        Kind::ParkedSkip => Task::ParkedSkip(arguments(body)?),
    })
}

/// Read from the whole body, so that what is wrong is pointed at from its root.
fn arguments<A: DeserializeOwned + Default>(body: &[u8]) -> Result<A, Problem> {
    Ok(parse_json::<AskedBody<A>>(body)?.arguments)
}

/// Checks what people say of themselves.
fn words(pointer: &str, text: &str, wrong: &mut Vec<FieldError>) {
    let most = record::MAX_WORDS;
    if text.trim().is_empty() || text.chars().count() > most || text.contains('\0') {
        let detail = format!("expected 1 to {most} characters, not all blank, none of them U+0000");
        wrong.push(FieldError::new(pointer, "invalid", detail));
    }
}

fn envelope<T>(RequestId(request_id): RequestId, data: T) -> Envelope<T> {
    Envelope { data, meta: Meta::new(request_id, clock::system().now()) }
}

/// 202, with the address of the operation.
fn accepted(request_id: RequestId, operation: Operation) -> Response {
    let location = format!("{PATH}/{}", operation.id);
    let mut response = (StatusCode::ACCEPTED, envelope(request_id, operation)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn not_added(error: AddError) -> Problem {
    match error {
        AddError::Busy(operation) => {
            let title = "Another operation works on the projection";
            let Operation { id, kind, requested_by, .. } = *operation;
            Problem::conflict("operation/busy", title)
                .detail(format!("operation {id}: {kind}, asked for by {requested_by}"))
        }
        AddError::Full => {
            Problem::unavailable("operation/too-many", "Too many operations wait", RETRY_LATER)
                .detail(format!("at most {MAX_UNFINISHED}"))
        }
        AddError::Database(error) => failed(&error),
        AddError::Json(error) => {
            tracing::error!(%error, "an operation cannot be recorded");
            Problem::internal()
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(error = chain(error), "the record of operations cannot be had");
    Problem::unavailable("unavailable", "The read model's database is away", RETRY_LATER)
}
