//! The operations API on the admin port: `/admin/v1/operations`.
//!
//! A request is recorded and answered with 202. An executor carries it out, in this process or in
//! another one. The record is in the database of the log, but the API needs no healthy log: a new
//! epoch is asked for when the history of the log has changed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use event_store::PostgresOptions;
use event_store::postgres::operations::{self, Added, Cancelled, MAX_UNFINISHED, Operation};
use postgres_kit::Connection;
use service_kit::body::read_body;
use service_kit::extract::{Json, Path, Query, require_json};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Meta, Problem, clock};
use tokio::sync::{Notify, Semaphore};

pub(crate) use executor::{Executor, SILENCE_LIMIT};
use request::{CancelBody, ListQuery, Wanted};

mod executor;
mod request;

/// The path of the collection.
const PATH: &str = "/admin/v1/operations";
/// The maximum number of requests that hold a connection to the record at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a request waits for one of them.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// How many seconds a client waits before it retries while the database is away.
const RETRY_LATER: u64 = 2;

/// The state of the routes.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    options: PostgresOptions,
    wake: Arc<Notify>,
    turns: Semaphore,
}

/// Returns the routes. `wake` tells the executor of this process that an operation is queued.
pub(crate) fn routes(options: PostgresOptions, wake: Arc<Notify>) -> Router {
    let turns = Semaphore::new(MAX_CONNECTIONS);
    Router::new()
        .route(PATH, get(list).post(add))
        .route(&format!("{PATH}/{{id}}"), get(find))
        .route(&format!("{PATH}/{{id}}/cancel"), post(cancel))
        .with_state(Api(Arc::new(Inner { options, wake, turns })))
}

async fn add(
    State(api): State<Api>,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let bytes = read_body(request.into_body()).await?;
    let Wanted { request, by, reason } = Wanted::read(&bytes)?;
    let added = api
        .with(async |connection: &mut Connection| {
            operations::add(connection, &request, (&by, &reason)).await
        })
        .await?;
    match added {
        Added::Queued(operation) => {
            api.0.wake.notify_waiters();
            Ok(accepted(request_id, *operation))
        }
        Added::Busy(operation) => {
            let title = "An unfinished operation does the same";
            let Operation { id, kind, requested_by, .. } = *operation;
            Err(Problem::conflict("operation/busy", title)
                .detail(format!("operation {id}: {kind}, asked for by {requested_by}")))
        }
        Added::Full => {
            let title = "Too many operations wait";
            Err(Problem::unavailable("operation/too-many", title, RETRY_LATER)
                .detail(format!("at most {MAX_UNFINISHED}")))
        }
    }
}

async fn list(
    State(api): State<Api>,
    request_id: RequestId,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let (before, limit) = query.page()?;
    let read =
        async |connection: &mut Connection| operations::list(connection, before, limit).await;
    Ok(envelope(request_id, api.with(read).await?).into_response())
}

async fn find(
    State(api): State<Api>,
    request_id: RequestId,
    Path(id): Path<Id>,
) -> Result<Response, Problem> {
    let read = async |connection: &mut Connection| operations::find(connection, id.get()).await;
    let found = api.with(read).await?.ok_or_else(Problem::not_found)?;
    Ok(envelope(request_id, found).into_response())
}

async fn cancel(
    State(api): State<Api>,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let (id, by) = (id.get(), body.who()?);
    let cancel = async |connection: &mut Connection| operations::cancel(connection, id, &by).await;
    match api.with(cancel).await? {
        Cancelled::Wanted(operation) => Ok(accepted(request_id, *operation)),
        Cancelled::Finished(operation) => {
            Err(Problem::conflict("operation/finished", "The operation has ended already")
                .detail(format!("it has {}", operation.state)))
        }
        Cancelled::Irrevocable(_) => {
            Err(Problem::conflict("operation/irrevocable", "The operation cannot be undone")
                .detail("its effect may have begun: the key of the subject may be destroyed"))
        }
        Cancelled::Unknown => Err(Problem::not_found()),
    }
}

impl Api {
    /// Does some work on a new connection to the record, once fewer than [`MAX_CONNECTIONS`] are
    /// in use.
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let title = "Too many requests wait for the record of operations";
            return Err(Problem::shed("too-many-requests", title, RETRY_LATER));
        };
        let mut connection =
            operations::connect(&self.0.options).await.map_err(|error| unavailable(&error))?;
        let done = work(&mut connection).await;
        connection.close().await;
        done.map_err(|error| unavailable(&error))
    }
}

/// Wraps data in the envelope that every answer has.
fn envelope<T>(RequestId(request_id): RequestId, data: T) -> Envelope<T> {
    Envelope { data, meta: Meta::new(request_id, clock::system().now()) }
}

/// Answers 202 with the operation and its address.
fn accepted(request_id: RequestId, operation: Operation) -> Response {
    let location = HeaderValue::from_str(&format!("{PATH}/{}", operation.id));
    let mut response = (StatusCode::ACCEPTED, envelope(request_id, operation)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Answers 503 because the record's database failed. The cause is logged, not answered.
fn unavailable(error: &sqlx::Error) -> Problem {
    tracing::warn!(error = cli_kit::describe(error), "could not use the record of operations");
    Problem::unavailable("unavailable", "The event store's database is away", RETRY_LATER)
}
