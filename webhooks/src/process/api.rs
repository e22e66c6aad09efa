//! The operations on subscriptions, on the admin port.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /admin/v1/subscriptions` | lists all |
//! | `POST /admin/v1/subscriptions` | creates one; the answer has its secret |
//! | `GET /admin/v1/subscriptions/{id}` | shows one |
//! | `POST …/{id}/pause`, `…/resume`, `…/delete` | stops it, lets it go on, deletes it |
//! | `POST …/{id}/rotate` | replaces its secret; the answer has the new one |
//! | `GET …/{id}/deliveries` | lists what was not delivered |
//! | `POST …/{id}/deliveries/retry`, `…/skip` | tries it again, or gives it up |
//! | `GET …/{id}/replays`, `POST …/{id}/replays` | lists replays, or begins one |
//! | `POST /admin/v1/replays/{id}/cancel` | ends a replay |
//! | `GET /admin/v1/openapi.json` | describes these |
//!
//! Every request but that for the document takes the permission `webhooks:operate`, and a
//! subscription with personal data also `webhooks:personal`, if the process can verify access
//! tokens. Each decision is recorded with its maker.

use std::sync::{Arc, OnceLock};

use access::Permission;
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use identity::{Operator, Operators, Signature};
use service_kit::extract::{Json, Path, Query};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::operations::answer::{RETRY_LATER, envelope, unavailable};
use service_kit::operations::{DOCUMENT_PATH, check_id, check_words};
use service_kit::{FieldError, Problem};

use super::NAME;
use crate::ops::{MAX_NAME, OperationError, Operations, Start, Wanted, WantedReplay};
use crate::tables::{Decision, DecisionError};

mod body;
mod openapi;
mod view;

use body::{
    Creating, LimitQuery, PageQuery, Plain, Reasoned, Replaying, Resuming, Retrying, Skipping,
};
pub(super) use openapi::document;
pub(super) use view::{Made, Replayed};

/// The path of the subscriptions.
pub(super) const PATH: &str = "/admin/v1/subscriptions";
/// The path of the replays.
pub(super) const REPLAYS: &str = "/admin/v1/replays";
/// The maximum number of deliveries or replays in an answer.
pub(super) const MAX_LIMIT: i64 = 1_000;
const DEFAULT_LIMIT: i64 = 100;
/// The maximum length of a reason, in characters.
const MAX_REASON: usize = 500;
/// The maximum length of an opaque id of a person, in characters.
const MAX_BY: usize = 200;
/// The rate of a replay that names none, in events per second.
const DEFAULT_RATE: i32 = 50;

#[derive(Clone)]
struct Api(Arc<OnceLock<Operations>>);

/// Returns the routes. The operations are there when the stores are open.
pub(super) fn routes(operations: Arc<OnceLock<Operations>>, operators: Operators) -> Router {
    let of_one = |what: &str| format!("{PATH}/{{id}}/{what}");
    let routes = Router::new()
        .route(PATH, get(list).post(create))
        .route(DOCUMENT_PATH, get(openapi::serve))
        .route(&format!("{PATH}/{{id}}"), get(show))
        .route(&of_one("pause"), post(pause))
        .route(&of_one("resume"), post(resume))
        .route(&of_one("rotate"), post(rotate))
        .route(&of_one("delete"), post(delete))
        .route(&of_one("deliveries"), get(deliveries))
        .route(&of_one("deliveries/retry"), post(retry))
        .route(&of_one("deliveries/skip"), post(skip))
        .route(&of_one("replays"), get(replays).post(replay))
        .route(&format!("{REPLAYS}/{{id}}/cancel"), post(cancel))
        .with_state(Api(operations));
    operators.admit(routes)
}

/// An operator who may manage webhooks. Handlers take this first.
struct Permitted(Operator);

impl<S: Send + Sync> FromRequestParts<S> for Permitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, state).await?;
        operator.check(Permission::WebhooksOperate)?;
        Ok(Self(operator))
    }
}

async fn list(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
) -> Result<Response, Problem> {
    let rows = api.operations()?.tables().subscriptions().await.map_err(away)?;
    Ok(envelope(request_id, rows).into_response())
}

async fn show(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
) -> Result<Response, Problem> {
    api.shown(request_id, id).await
}

async fn create(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Json(creating): Json<Creating>,
) -> Result<Response, Problem> {
    let Creating { by, name, url, types, personal, after } = creating;
    if personal {
        operator.check(Permission::WebhooksPersonal)?;
    }
    let signature = signed(&operator, by, |wrong| check_words("/name", &name, MAX_NAME, wrong))?;
    let wanted = Wanted { name, url, types, personal, after };
    let made = api.operations()?.create(wanted, signature.asker()).await.map_err(problem)?;
    let made = Made::new(made.0, &made.1);
    Ok((StatusCode::CREATED, envelope(request_id, made)).into_response())
}

async fn pause(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Reasoned { by, reason }): Json<Reasoned>,
) -> Result<Response, Problem> {
    let signature = reasoned(&operator, by, &reason)?;
    api.decide(id, Decision::Pause { reason }, &signature).await?;
    api.shown(request_id, id).await
}

async fn resume(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Resuming { by, after }): Json<Resuming>,
) -> Result<Response, Problem> {
    let signature = signed(&operator, by, |_| {})?;
    let operations = api.operations()?;
    operations.resume(id.get(), after, signature.asker()).await.map_err(problem)?;
    api.shown(request_id, id).await
}

async fn rotate(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Plain { by }): Json<Plain>,
) -> Result<Response, Problem> {
    let signature = signed(&operator, by, |_| {})?;
    let rotated = api.operations()?.rotate(id.get(), signature.asker()).await.map_err(problem)?;
    Ok(envelope(request_id, Made::new(id.get(), &rotated)).into_response())
}

async fn delete(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Reasoned { by, reason }): Json<Reasoned>,
) -> Result<Response, Problem> {
    let signature = reasoned(&operator, by, &reason)?;
    let shown = api.shown(request_id, id).await?;
    api.decide(id, Decision::Delete { reason }, &signature).await?;
    Ok(shown)
}

async fn deliveries(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Query(PageQuery { after, limit }): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (after, limit) = (after.unwrap_or_default(), checked(limit)?);
    let tables = api.found(id).await?.tables();
    let rows = tables.deliveries(id.get(), after, limit).await.map_err(away)?;
    Ok(envelope(request_id, rows).into_response())
}

async fn retry(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Retrying { by, position }): Json<Retrying>,
) -> Result<Response, Problem> {
    let signature = signed(&operator, by, |_| {})?;
    api.decide(id, Decision::Retry { position }, &signature).await?;
    api.shown(request_id, id).await
}

async fn skip(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Skipping { by, position, reason }): Json<Skipping>,
) -> Result<Response, Problem> {
    let signature = reasoned(&operator, by, &reason)?;
    api.decide(id, Decision::Skip { position, reason }, &signature).await?;
    api.shown(request_id, id).await
}

async fn replays(
    State(api): State<Api>,
    _: Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Query(LimitQuery { limit }): Query<LimitQuery>,
) -> Result<Response, Problem> {
    let limit = checked(limit)?;
    let rows = api.found(id).await?.tables().replays(id.get(), limit).await.map_err(away)?;
    Ok(envelope(request_id, rows).into_response())
}

async fn replay(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(replaying): Json<Replaying>,
) -> Result<Response, Problem> {
    let Replaying { by, reason, from, since, types, rate } = replaying;
    let start = match (from, since) {
        (Some(position), None) => Some(Start::Position(position)),
        (None, Some(time)) => Some(Start::Time(time.get())),
        _ => None,
    };
    let signature = signed(&operator, by, |wrong| {
        check_words("/reason", &reason, MAX_REASON, wrong);
        if start.is_none() {
            let detail = "give either this or since";
            wrong.push(FieldError::new("/from", "required", detail));
        }
    })?;
    let Some(from) = start else { return Err(Problem::internal()) };
    let wanted = WantedReplay { from, types, rate: rate.unwrap_or(DEFAULT_RATE), reason };
    let begun = api.operations()?.replay(id.get(), wanted, signature.asker()).await;
    let replayed = Replayed { id: begun.map_err(problem)? };
    Ok((StatusCode::CREATED, envelope(request_id, replayed)).into_response())
}

async fn cancel(
    State(api): State<Api>,
    Permitted(operator): Permitted,
    request_id: RequestId,
    Path(id): Path<Id>,
    Json(Plain { by }): Json<Plain>,
) -> Result<Response, Problem> {
    let signature = signed(&operator, by, |_| {})?;
    let operations = api.operations()?;
    operations.cancel_replay(id.get(), signature.asker()).await.map_err(problem)?;
    Ok(envelope(request_id, Replayed { id: id.get() }).into_response())
}

impl Api {
    fn operations(&self) -> Result<&Operations, Problem> {
        self.0.get().ok_or_else(|| {
            Problem::unavailable("not-ready", "The log is not reached yet", RETRY_LATER)
        })
    }

    /// The operations, if there is such a subscription.
    async fn found(&self, id: Id) -> Result<&Operations, Problem> {
        let operations = self.operations()?;
        let found = operations.tables().subscription(id.get()).await.map_err(away)?;
        found.map(|_| operations).ok_or_else(Problem::not_found)
    }

    async fn shown(&self, request_id: RequestId, id: Id) -> Result<Response, Problem> {
        let found = self.operations()?.tables().subscription(id.get()).await.map_err(away)?;
        let row = found.ok_or_else(Problem::not_found)?;
        Ok(envelope(request_id, row).into_response())
    }

    async fn decide(&self, id: Id, decision: Decision, by: &Signature) -> Result<(), Problem> {
        self.operations()?.decide(id.get(), decision, by.asker()).await.map_err(problem)
    }
}

/// Who decides, as the record keeps it, if `check` finds no wrong field.
fn signed(
    operator: &Operator,
    by: Option<String>,
    check: impl FnOnce(&mut Vec<FieldError>),
) -> Result<Signature, Problem> {
    let mut wrong = Vec::new();
    let check_by = |by: &str, wrong: &mut Vec<FieldError>| check_id("/by", by, MAX_BY, wrong);
    let signature = operator.signature(by, check_by, &mut wrong);
    check(&mut wrong);
    if wrong.is_empty() { Ok(signature) } else { Err(Problem::invalid(wrong)) }
}

fn reasoned(operator: &Operator, by: Option<String>, reason: &str) -> Result<Signature, Problem> {
    signed(operator, by, |wrong| check_words("/reason", reason, MAX_REASON, wrong))
}

/// The number of rows of an answer.
fn checked(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("expected 1 to {MAX_LIMIT}");
    Err(Problem::invalid(vec![FieldError::new("/limit", "out-of-range", detail)]))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: sqlx::Error) -> Problem {
    unavailable("The tables of webhooks are away", &error)
}

fn problem(error: OperationError) -> Problem {
    match error {
        OperationError::Invalid(pointer, detail) => {
            Problem::invalid(vec![FieldError::new(pointer, "invalid", detail)])
        }
        OperationError::Absent => Problem::not_found(),
        OperationError::Decision(error @ DecisionError::NothingToDo) => {
            Problem::conflict("webhook/nothing-to-do", "This would change nothing")
                .detail(error.to_string())
        }
        OperationError::Decision(error) => {
            Problem::conflict("webhook/too-many", "No more are possible").detail(error.to_string())
        }
        error => {
            tracing::warn!(error = cli_kit::describe(&error), "{NAME} cannot carry this out");
            unavailable("The log or the tables of webhooks are away", &error)
        }
    }
}
