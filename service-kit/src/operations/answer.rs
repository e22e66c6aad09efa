//! The answers of an API of operations.

use std::error::Error;

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use uuid::Uuid;

use super::PATH;
use crate::http::RequestId;
use crate::{Envelope, Meta, Problem, clock};

/// How many seconds a client waits before it retries while the record's database is away.
pub const RETRY_LATER: u64 = 2;

/// Wraps data in the envelope that every answer has.
pub fn envelope<T>(RequestId(request_id): RequestId, data: T) -> Envelope<T> {
    Envelope { data, meta: Meta::new(request_id, clock::system().now()) }
}

/// Answers 202 with an operation and its address.
pub fn accepted<T: Serialize>(request_id: RequestId, id: Uuid, operation: T) -> Response {
    let mut response = (StatusCode::ACCEPTED, envelope(request_id, operation)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("{PATH}/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Answers 409: the unfinished operation `id` is in the way.
pub fn busy(title: &'static str, (id, kind, by): (Uuid, &str, &str)) -> Problem {
    Problem::conflict("operation/busy", title)
        .detail(format!("operation {id}: {kind}, asked for by {by}"))
}

/// Answers 409: the operation has ended in this state and cannot be cancelled.
pub fn finished(state: &str) -> Problem {
    Problem::conflict("operation/finished", "The operation has ended already")
        .detail(format!("it has {state}"))
}

/// Answers 503: `most` operations wait or run already.
pub fn too_many(most: i64) -> Problem {
    Problem::unavailable("operation/too-many", "Too many operations wait", RETRY_LATER)
        .detail(format!("at most {most}"))
}

/// Answers 503 because the database of the record failed; `title` names it. The cause is logged,
/// not answered.
pub fn unavailable(title: &'static str, error: &(dyn Error + 'static)) -> Problem {
    tracing::warn!(error = cli_kit::describe(error), "could not use the record of operations");
    Problem::unavailable("unavailable", title, RETRY_LATER)
}
