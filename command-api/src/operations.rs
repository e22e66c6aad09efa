//! The operations API on the admin port: `/admin/v1/operations`.
//!
//! A request is recorded and answered with 202. An executor carries it out, in this process or in
//! another one. The record is in the database of the log, but the API needs no healthy log: a new
//! epoch is asked for when the history of the log has changed.
//!
//! Each kind takes a permission of its own. An operation of a kind that the caller may not ask for
//! does not exist for them.

use std::sync::Arc;
use std::time::Duration;

use access::Permission;
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use event_store::PostgresOptions;
use event_store::postgres::PostgresKeys;
use event_store::postgres::operations::{self, Added, Cancelled, Kind, MAX_UNFINISHED, Operation};
use identity::{Operator, Operators};
use postgres_kit::Connection;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::extract::{Json, Path, Query, require_json};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::operations::answer::{accepted, busy, envelope, finished, too_many};
use service_kit::operations::{CancelBody, DOCUMENT_PATH, ListQuery, PATH, Turns, answer};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::application::repository::LeaveError;
use crate::application::{SettleError, Settlement};

pub(crate) use executor::{Executor, SILENCE_LIMIT};
pub use openapi::document;
use request::{Wanted, check_by};

mod executor;
mod openapi;
mod request;

/// The maximum time to look for open orders before an erasure is recorded.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// The number of kinds of operations. Each has a turn with a connection.
const KINDS: u32 = 2;

/// The state of the routes.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    options: PostgresOptions,
    settlement: Settlement,
    wake: Arc<Notify>,
    turns: Turns,
}

/// Returns the routes. `wake` tells the executor of this process that an operation is queued.
pub(crate) fn routes(
    options: PostgresOptions,
    wake: Arc<Notify>,
    settlement: Settlement,
    operators: Operators,
) -> Router {
    let turns = Turns::default();
    let routes = Router::new()
        .route(PATH, get(list).post(add))
        .route(DOCUMENT_PATH, get(openapi::serve))
        .route(&format!("{PATH}/{{id}}"), get(find))
        .route(&format!("{PATH}/{{id}}/cancel"), post(cancel))
        .with_state(Api(Arc::new(Inner { options, settlement, wake, turns })));
    operators.admit(routes)
}

/// The maximum number of connections of a process's operations: those of requests, the turns of all
/// kinds, and those of one erasure.
pub(crate) fn most_connections(options: &PostgresOptions) -> u32 {
    let erasure = executor::reading(options.clone()).most_connections()
        + PostgresKeys::most_connections(PostgresKeys::LIMITS);
    Turns::MOST + KINDS + erasure
}

/// The permission to ask for operations of this kind, and to see and cancel them.
const fn permission(kind: Kind) -> Permission {
    match kind {
        Kind::EraseSubject => Permission::UsersErase,
        Kind::BeginEpoch => Permission::LogOperate,
    }
}

/// An operator who may ask for operations of some kind. Handlers take this first. So they read
/// nothing else of a request that is not permitted.
struct Permitted {
    operator: Operator,
    /// The kinds, at least one.
    kinds: Vec<Kind>,
}

impl Permitted {
    /// Whether the operation is of one of their kinds.
    fn sees(&self, operation: &Operation) -> bool {
        Kind::named(&operation.kind).is_some_and(|kind| self.kinds.contains(&kind))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Permitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, state).await?;
        operator.check_any(&Kind::ALL.map(permission))?;
        let kinds = Kind::ALL.into_iter().filter(|kind| operator.may(permission(*kind))).collect();
        Ok(Self { operator, kinds })
    }
}

async fn add(
    State(api): State<Api>,
    Permitted { operator, .. }: Permitted,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let bytes = read_body(request.into_body()).await?;
    let Wanted { request, signature, reason } = Wanted::read(&bytes, &operator)?;
    api.check(&request).await?;
    let added = api
        .with(async |connection: &mut Connection| {
            operations::add(connection, &request, (signature.asker(), &reason)).await
        })
        .await?;
    match added {
        Added::Queued(operation) => {
            api.0.wake.notify_waiters();
            Ok(accepted(request_id, operation.id, operation))
        }
        Added::Busy(operation) => {
            let Operation { id, kind, requested_by, .. } = *operation;
            Err(busy("An unfinished operation does the same", (id, &kind, &requested_by)))
        }
        Added::Full => Err(too_many(MAX_UNFINISHED)),
    }
}

async fn list(
    State(api): State<Api>,
    Permitted { kinds, .. }: Permitted,
    request_id: RequestId,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let (before, limit) = query.page()?;
    let read = async |connection: &mut Connection| {
        operations::list(connection, &kinds, before, limit).await
    };
    Ok(envelope(request_id, api.with(read).await?).into_response())
}

async fn find(
    State(api): State<Api>,
    permitted: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
) -> Result<Response, Problem> {
    let read = async |connection: &mut Connection| operations::find(connection, id.get()).await;
    let found = api.with(read).await?.filter(|operation| permitted.sees(operation));
    Ok(envelope(request_id, found.ok_or_else(Problem::not_found)?).into_response())
}

async fn cancel(
    State(api): State<Api>,
    permitted: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    let (id, signature) = (id.get(), permitted.operator.signs(body.by, check_by)?);
    let cancel = async |connection: &mut Connection| {
        let found = operations::find(&mut *connection, id).await?;
        if found.is_none_or(|operation| !permitted.sees(&operation)) {
            return Ok(Cancelled::Unknown);
        }
        operations::cancel(connection, id, signature.asker()).await
    };
    match api.with(cancel).await? {
        Cancelled::Wanted(operation) => Ok(accepted(request_id, id, operation)),
        Cancelled::Finished(operation) => Err(finished(&operation.state)),
        Cancelled::Irrevocable(_) => {
            Err(Problem::conflict("operation/irrevocable", "The operation cannot be undone")
                .detail("its effect may have begun: the key of the subject may be destroyed"))
        }
        Cancelled::Unknown => Err(Problem::not_found()),
    }
}

impl Api {
    /// Refuses an erasure at once while the person has an open order that is not cancelled with it,
    /// or is the last administrator.
    ///
    /// If the log cannot be asked now, the operation is recorded. Its executor settles the orders
    /// first in any case.
    async fn check(&self, request: &operations::Request) -> Result<(), Problem> {
        let Some((subject, open)) = request::erasure(request) else { return Ok(()) };
        let checked = timeout(CHECK_LIMIT, self.0.settlement.check(subject, open)).await;
        match checked {
            Ok(Err(SettleError::Leave(error @ LeaveError::LastAdministrator { .. }))) => {
                Err(error.into())
            }
            Ok(Err(error)) if error.is_refusal() => {
                Err(Problem::conflict("user/open-orders", "The person has an open order")
                    .detail(error.to_string()))
            }
            Ok(Err(error)) => {
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::info!(error = cause, %subject, "open orders are looked for later");
                Ok(())
            }
            Err(_) => {
                tracing::info!(%subject, "open orders are looked for later: the log is slow");
                Ok(())
            }
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Does some work on a new connection to the record, when its turn has come.
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Problem> {
        let _turn = self.0.turns.take().await?;
        let mut connection =
            operations::connect(&self.0.options).await.map_err(|error| unavailable(&error))?;
        let done = work(&mut connection).await;
        connection.close().await;
        done.map_err(|error| unavailable(&error))
    }
}

/// Answers 503 because the database of the record failed.
fn unavailable(error: &sqlx::Error) -> Problem {
    answer::unavailable("The event store's database is away", error)
}
