//! The operations API on the admin port: `/admin/v1/operations`.
//!
//! A request is recorded and answered with 202. An executor carries it out, in this process or in
//! another one (`projection/src/operation.rs`). So no answer waits for a rebuild, and a lost
//! connection loses no work.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use postgres_kit::Connection;
use projection::AnyProjection;
use projection::operation::record::{self, AddError, Asked, Cancelled};
use projection::operation::{self, MAX_UNFINISHED, Operation, Reach};
use projection::ops;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::extract::{Json, Path, Query, require_json};
use service_kit::http::RequestId;
use service_kit::input::Id;
use tokio::sync::{Notify, Semaphore};

pub(crate) use openapi::document;

use answer::{RETRY_LATER, accepted, envelope, unavailable};
use request::{CancelBody, ListQuery, Wanted};

mod answer;
mod openapi;
mod request;
mod words;

/// The path of the collection.
pub(crate) const PATH: &str = "/admin/v1/operations";
/// The maximum number of requests that hold a connection to the read model at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a request waits for one of them.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// The state of the routes.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    reach: Reach,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    turns: Semaphore,
}

/// Returns the routes. `wake` tells the executor of this process that an operation is queued.
pub(crate) fn routes(
    reach: Reach,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
) -> Router {
    let turns = Semaphore::new(MAX_CONNECTIONS);
    Router::new()
        .route(PATH, get(list).post(add))
        .route(openapi::DOCUMENT_PATH, get(openapi::serve))
        .route(&format!("{PATH}/{{id}}"), get(find))
        .route(&format!("{PATH}/{{id}}/cancel"), post(cancel))
        .with_state(Api(Arc::new(Inner { reach, projections, wake, turns })))
}

async fn add(
    State(api): State<Api>,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let bytes = read_body(request.into_body()).await?;
    let wanted = Wanted::read(&bytes, &api.0.projections)?;
    let asked = Asked { task: &wanted.task, by: &wanted.by, reason: &wanted.reason };
    let projection = wanted.projection;
    let added = api
        .with(async |connection: &mut Connection| {
            let refused =
                operation::refused(&api.0.reach, connection, projection, &wanted.task).await;
            if let Some(paused) = refused.map_err(|error| unavailable(&error))? {
                return Err(Problem::conflict("operation/paused", "The projection is paused")
                    .detail(paused.to_string()));
            }
            record::add(connection, projection.as_ref(), asked).await.map_err(not_added)
        })
        .await??;
    api.0.wake.notify_one();
    Ok(accepted(request_id, (PATH, added.id), added))
}

async fn list(
    State(api): State<Api>,
    request_id: RequestId,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let (before, limit) = query.page()?;
    let found = api
        .with(async |connection: &mut Connection| record::list(connection, before, limit).await)
        .await?
        .map_err(|error| unavailable(&error))?;
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
        .map_err(|error| unavailable(&error))?;
    Ok(envelope(request_id, found.ok_or_else(Problem::not_found)?).into_response())
}

async fn cancel(
    State(api): State<Api>,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let (id, by) = (id.get(), body.who()?);
    let cancelled = api
        .with(async |connection: &mut Connection| record::cancel(connection, id, &by).await)
        .await?
        .map_err(|error| unavailable(&error))?;
    match cancelled {
        Cancelled::Wanted(operation) => Ok(accepted(request_id, (PATH, id), operation)),
        Cancelled::Finished(operation) => {
            Err(Problem::conflict("operation/finished", "The operation has ended already")
                .detail(format!("it has {}", operation.state)))
        }
        Cancelled::Unknown => Err(Problem::not_found()),
    }
}

impl Api {
    /// Does some work on a new connection to the read model, once fewer than [`MAX_CONNECTIONS`]
    /// are in use.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> T) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let title = "Too many requests wait for the read model";
            return Err(Problem::shed("too-many-requests", title, RETRY_LATER));
        };
        let mut connection =
            ops::read_model(&self.0.reach.options).await.map_err(|error| unavailable(&error))?;
        let done = work(&mut connection).await;
        connection.close().await;
        Ok(done)
    }
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
        AddError::Database(error) => unavailable(&error),
        AddError::Json(error) => {
            tracing::error!(%error, "could not record an operation");
            Problem::internal()
        }
    }
}
