//! The errors of fields: the codes of the problems of the REST API.

use async_graphql::{Error, ErrorExtensions as _, ServerError, Value};
use serde_json::json;
use service_kit::{FieldError, Problem};

use crate::live::Reason;

/// The error of a field for the problem that the REST API would answer with. Wrong arguments are
/// named by their paths.
pub(super) fn error(problem: &Problem, request_id: &str) -> Error {
    let message = match problem.explanation() {
        Some(detail) => format!("{}: {detail}", problem.title()),
        None => problem.title().to_owned(),
    };
    Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", problem.code());
        extensions.set("status", i32::from(problem.status().as_u16()));
        extensions.set("requestId", request_id);
        if let Some(seconds) = problem.retry_after_seconds() {
            extensions.set("retryAfter", seconds);
        }
        if !problem.errors().is_empty() {
            extensions.set("errors", problem.errors().iter().map(of_argument).collect::<Value>());
        }
    })
}

/// The error of an operation for the problem that the REST API would answer with.
pub(super) fn server_error(problem: &Problem, request_id: &str) -> ServerError {
    let Error { message, extensions, .. } = error(problem, request_id);
    ServerError { extensions, ..ServerError::new(message, None) }
}

/// The error with which a stream ends, for this reason.
pub(super) fn ended(reason: &Reason, request_id: &str) -> Error {
    Error::new(&reason.detail).extend_with(|_, extensions| {
        extensions.set("code", reason.code.as_str());
        extensions.set("requestId", request_id);
    })
}

fn of_argument(error: &FieldError) -> Value {
    let path: Vec<&str> = error.pointer.split('/').skip(1).collect();
    let error = json!({"code": error.code, "message": error.detail, "field": path});
    // It is made of texts, so it always is a value.
    Value::from_json(error).unwrap_or_default()
}
