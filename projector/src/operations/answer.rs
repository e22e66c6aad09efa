//! The answers of an API of operations. Nothing here knows projections.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use projection::chain;
use serde::Serialize;
use service_kit::http::RequestId;
use service_kit::{Envelope, Meta, Problem, clock};
use uuid::Uuid;

/// How many seconds a client waits before it retries while the database is away.
pub(super) const RETRY_LATER: u64 = 2;

/// Wraps data in the envelope that every answer has.
pub(super) fn envelope<T>(RequestId(request_id): RequestId, data: T) -> Envelope<T> {
    Envelope { data, meta: Meta::new(request_id, clock::system().now()) }
}

/// Answers 202 with the operation, and with its address below `collection`.
pub(super) fn accepted<T: Serialize>(
    request_id: RequestId,
    (collection, id): (&str, Uuid),
    operation: T,
) -> Response {
    let mut response = (StatusCode::ACCEPTED, envelope(request_id, operation)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("{collection}/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Answers 503 because the database of the record failed. The cause is logged, not answered.
pub(super) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(error = chain(error), "could not use the record of operations");
    Problem::unavailable("unavailable", "The read model's database is away", RETRY_LATER)
}
