//! The operations on sagas, on the admin port: `/admin/v1/sagas`.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /admin/v1/sagas` | lists those that have not ended |
//! | `GET /admin/v1/sagas/{id}` | shows one with a page of its timeline; the id may be its order's |
//! | `POST /admin/v1/sagas/{id}/retry` | begins the next attempt of a step now |
//! | `POST /admin/v1/sagas/{id}/skip-compensation` | a compensation is not needed |
//! | `POST /admin/v1/sagas/{id}/give-up` | undoes it from where it is |
//! | `POST /admin/v1/sagas/{id}/resume` | a parked one goes on |
//! | `POST /admin/v1/sagas/{id}/park` | it stands still until somebody resumes it |
//! | `POST /admin/v1/sagas/fold-again` | makes the list of work from the log again |
//! | `GET /admin/v1/openapi.json` | describes these |
//!
//! A decision is in the log before it is answered. Every request but that for the document takes
//! the permission `sagas:operate`, if the process can verify access tokens.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::Permission;
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use event_store::Version;
use identity::{Operator, Operators};
use saga::instance::{Decision, Refused};
use saga::ops::{MAX_TIMELINE, OperationError, Operations, Page};
use saga::work::Listing;
use serde::Deserialize;
use serde_json::json;
use service_kit::extract::{Json, Path, Query};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::operations::answer::{RETRY_LATER, envelope, unavailable};
use service_kit::operations::{DOCUMENT_PATH, check_id, check_words};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::NAME;
use crate::sagas::order_fulfilment;

mod openapi;
mod view;

pub(super) use openapi::document;
pub(super) use view::{Row, Shown};

/// The path of the sagas.
pub(super) const PATH: &str = "/admin/v1/sagas";
/// What makes the list of work from the log again, below [`PATH`].
pub(super) const FOLD_AGAIN: &str = "fold-again";
/// The maximum number of sagas in an answer.
const MAX_LIMIT: i64 = 1_000;
const DEFAULT_LIMIT: i64 = 50;
/// The maximum length of a reason, in characters. The saga keeps no more.
const MAX_REASON: usize = 500;
/// The maximum length of an opaque id of a person, in characters.
const MAX_BY: usize = 200;

#[derive(Clone)]
struct Api(Arc<OnceLock<Operations>>);

/// Returns the routes. The operations are there when the stores are open.
pub(super) fn routes(operations: Arc<OnceLock<Operations>>, operators: Operators) -> Router {
    let of_one = |what: &str| format!("{PATH}/{{id}}/{what}");
    let routes = Router::new()
        .route(PATH, get(list))
        .route(DOCUMENT_PATH, get(openapi::serve))
        .route(&format!("{PATH}/{FOLD_AGAIN}"), post(fold_again))
        .route(&format!("{PATH}/{{id}}"), get(show))
        .route(&of_one("retry"), post(retry))
        .route(&of_one("skip-compensation"), post(skip))
        .route(&of_one("give-up"), post(give_up))
        .route(&of_one("resume"), post(resume))
        .route(&of_one("park"), post(park))
        .with_state(Api(operations));
    operators.admit(routes)
}

/// An operator who may look at sagas and decide about them. Handlers take this first.
struct Permitted(Operator);

impl<S: Send + Sync> FromRequestParts<S> for Permitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, state).await?;
        operator.check(Permission::SagasOperate)?;
        Ok(Self(operator))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    /// Only sagas without progress for this number of seconds.
    not_moved_for: Option<u32>,
    limit: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// The version after which the page of the timeline begins.
    after: Option<u32>,
    limit: Option<u32>,
}

/// What needs no words but who asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resuming {
    by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasoned {
    by: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retrying {
    by: Option<String>,
    step: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skipping {
    by: Option<String>,
    step: String,
    reason: String,
}

async fn list(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("expected 1 to {MAX_LIMIT}");
        return Err(Problem::invalid(vec![FieldError::new("/limit", "out-of-range", detail)]));
    }
    let listing = Listing { status: query.status, limit, ..Listing::default() };
    let operations = api.operations()?;
    let listed = match query.not_moved_for {
        Some(seconds) => operations.stuck(Duration::from_secs(seconds.into()), listing).await,
        None => operations.list(&listing).await,
    };
    let rows: Vec<Row> = listed.map_err(problem)?.into_iter().map(Row::from).collect();
    Ok(envelope(request_id, rows).into_response())
}

async fn show(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Query(query): Query<ShowQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(MAX_TIMELINE);
    if !(1..=MAX_TIMELINE).contains(&limit) {
        let detail = format!("expected 1 to {MAX_TIMELINE}");
        return Err(Problem::invalid(vec![FieldError::new("/limit", "out-of-range", detail)]));
    }
    let page = Page { after: Version(query.after.unwrap_or(0).into()), limit };
    let instance = api.find(id.get()).await?;
    api.shown(request_id, instance, page).await
}

/// It is about no saga alone, so it is noted in the process's own log.
async fn fold_again(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Json(Resuming { by }): Json<Resuming>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, None)?;
    api.operations()?.fold_again().await.map_err(problem)?;
    tracing::warn!(by, "the log is folded again into the work tables, as somebody asked for");
    Ok(envelope(request_id, json!({})).into_response())
}

async fn retry(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Retrying { by, step }): Json<Retrying>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, None)?;
    api.decide(request_id, id, Decision::Retry { step }, &by).await
}

async fn skip(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Skipping { by, step, reason }): Json<Skipping>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, Some(&reason))?;
    api.decide(request_id, id, Decision::SkipCompensation { step, reason }, &by).await
}

async fn give_up(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Reasoned { by, reason }): Json<Reasoned>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, Some(&reason))?;
    api.decide(request_id, id, Decision::GiveUp { reason }, &by).await
}

async fn resume(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Resuming { by }): Json<Resuming>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, None)?;
    api.decide(request_id, id, Decision::Resume, &by).await
}

async fn park(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Reasoned { by, reason }): Json<Reasoned>,
) -> Result<Response, Problem> {
    let by = signed(&operator, by, Some(&reason))?;
    api.decide(request_id, id, Decision::Park { reason }, &by).await
}

impl Api {
    fn operations(&self) -> Result<&Operations, Problem> {
        self.0.get().ok_or_else(|| {
            Problem::unavailable("not-ready", "The log is not reached yet", RETRY_LATER)
        })
    }

    /// Finds a saga by its id, or by the id of its order. Returns its id.
    async fn find(&self, id: Uuid) -> Result<Uuid, Problem> {
        let of_order = saga::id::of_instance(order_fulfilment::NAME, &id.to_string());
        for id in [id, of_order] {
            if self.operations()?.state(id).await.map_err(problem)?.is_some() {
                return Ok(id);
            }
        }
        Err(Problem::not_found())
    }

    async fn shown(
        &self,
        request_id: RequestId,
        instance: Uuid,
        page: Page,
    ) -> Result<Response, Problem> {
        let shown = self.operations()?.show(instance, page).await.map_err(problem)?;
        let shown = shown.ok_or_else(Problem::not_found)?;
        Ok(envelope(request_id, Shown::from(shown)).into_response())
    }

    async fn decide(
        &self,
        request_id: RequestId,
        id: Id,
        decision: Decision,
        by: &str,
    ) -> Result<Response, Problem> {
        let instance = self.find(id.get()).await?;
        self.operations()?.decide(instance, decision, by).await.map_err(problem)?;
        self.shown(request_id, instance, Page::default()).await
    }
}

/// Who decides, as the log keeps it.
fn signed(
    operator: &Operator,
    by: Option<String>,
    reason: Option<&str>,
) -> Result<String, Problem> {
    let mut wrong = Vec::new();
    let check = |by: &str, wrong: &mut Vec<FieldError>| check_id("/by", by, MAX_BY, wrong);
    let signature = operator.signature(by, check, &mut wrong);
    if let Some(reason) = reason {
        check_words("/reason", reason, MAX_REASON, &mut wrong);
    }
    if wrong.is_empty() { Ok(signature.by) } else { Err(Problem::invalid(wrong)) }
}

fn problem(error: OperationError) -> Problem {
    match error {
        OperationError::Refused(Refused::Absent) => Problem::not_found(),
        OperationError::Refused(refused @ Refused::NoSuchStep(_)) => {
            Problem::invalid(vec![FieldError::new("/step", "unknown", refused.to_string())])
        }
        OperationError::Refused(refused @ (Refused::NotWaiting { .. } | Refused::Status(_))) => {
            Problem::conflict("saga/refused", "The saga does not allow this now")
                .detail(refused.to_string())
        }
        error @ OperationError::NoDefinition => {
            Problem::conflict("saga/no-definition", "This program does not have the saga's steps")
                .detail(error.to_string())
        }
        error @ (OperationError::Log(_) | OperationError::Work(_)) => {
            tracing::warn!(error = cli_kit::describe(&error), "{NAME} cannot look at its sagas");
            unavailable("The log or the work tables are away", &error)
        }
    }
}
