//! The operations API on the admin port: `/admin/v1/operations`.
//!
//! A request is recorded and answered with 202. An executor carries it out, in this process or in
//! another one (`projection/src/operation.rs`). So no answer waits for a rebuild, and a lost
//! connection loses no work.
//!
//! Every request but that for the document takes the permission `projections:operate`, if the
//! process can verify access tokens.

use std::sync::Arc;

use access::Permission;
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use identity::{Operator, Operators};
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
use service_kit::operations::answer::{accepted, busy, envelope, finished, too_many};
use service_kit::operations::{CancelBody, DOCUMENT_PATH, ListQuery, PATH, Turns, answer};
use tokio::sync::Notify;

pub(crate) use openapi::document;

use request::{Wanted, check_by};

mod openapi;
mod request;

/// The state of the routes.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    reach: Reach,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    turns: Turns,
}

/// Returns the routes. `wake` tells the executor of this process that an operation is queued.
pub(crate) fn routes(
    reach: Reach,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    operators: Operators,
) -> Router {
    let turns = Turns::default();
    let routes = Router::new()
        .route(PATH, get(list).post(add))
        .route(DOCUMENT_PATH, get(openapi::serve))
        .route(&format!("{PATH}/{{id}}"), get(find))
        .route(&format!("{PATH}/{{id}}/cancel"), post(cancel))
        .with_state(Api(Arc::new(Inner { reach, projections, wake, turns })));
    operators.admit(routes)
}

/// An operator who may ask for operations. Handlers take this first. So they read nothing else of a
/// request that is not permitted.
struct Permitted(Operator);

impl<S: Send + Sync> FromRequestParts<S> for Permitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, state).await?;
        operator.check(Permission::ProjectionsOperate)?;
        Ok(Self(operator))
    }
}

async fn add(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let bytes = read_body(request.into_body()).await?;
    let wanted = Wanted::read(&bytes, &api.0.projections, &operator)?;
    let asked =
        Asked { task: &wanted.task, asker: wanted.signature.asker(), reason: &wanted.reason };
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
    Ok(accepted(request_id, added.id, added))
}

async fn list(
    State(api): State<Api>,
    _: Permitted,
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
    _: Permitted,
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
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let (id, signature) = (id.get(), operator.signs(body.by, check_by)?);
    let cancelled = api
        .with(async |connection: &mut Connection| {
            record::cancel(connection, id, signature.asker()).await
        })
        .await?
        .map_err(|error| unavailable(&error))?;
    match cancelled {
        Cancelled::Wanted(operation) => Ok(accepted(request_id, id, operation)),
        Cancelled::Finished(operation) => Err(finished(&operation.state)),
        Cancelled::Unknown => Err(Problem::not_found()),
    }
}

impl Api {
    /// Does some work on a new connection to the read model, when its turn has come.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> T) -> Result<T, Problem> {
        let _turn = self.0.turns.take().await?;
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
            let Operation { id, kind, requested_by, .. } = *operation;
            busy("Another operation works on the projection", (id, &kind, &requested_by))
        }
        AddError::Full => too_many(MAX_UNFINISHED),
        AddError::Database(error) => unavailable(&error),
        AddError::Json(error) => {
            tracing::error!(%error, "could not record an operation");
            Problem::internal()
        }
    }
}

/// Answers 503 because the database of the record failed.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> Problem {
    answer::unavailable("The read model's database is away", error)
}
