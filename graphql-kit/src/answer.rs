//! The answer: its status, its media type and its body.

use async_graphql::{Response as Executed, ServerError, Value};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service_kit::Problem;
use service_kit::http::OwnFormat;

use crate::accept::AnswerType;

/// The code of an error that has none of its own.
const INVALID: &str = "graphql/invalid";

/// The body for a request that was not executed: it has no `data`.
#[derive(Serialize)]
struct Refused<'a> {
    errors: &'a [ServerError],
}

/// An error for a request that is not executed, with the code `graphql/invalid`.
pub fn refusal(message: impl std::fmt::Display) -> ServerError {
    let mut error = ServerError::new(message.to_string(), None);
    name(&mut error);
    error
}

/// Answers a request that was not executed.
pub fn refused(mut errors: Vec<ServerError>, answer: AnswerType) -> Response {
    errors.iter_mut().for_each(name);
    let status = match answer {
        AnswerType::GraphqlResponse => StatusCode::BAD_REQUEST,
        AnswerType::Json => StatusCode::OK,
    };
    write(status, answer, &Refused { errors: &errors })
}

/// Answers a request that cannot be read at all. Older clients get 400 too.
pub fn unreadable(errors: &[ServerError], answer: AnswerType) -> Response {
    write(StatusCode::BAD_REQUEST, answer, &Refused { errors })
}

/// Answers a request that was handed to the schema. Without data it was not executed, as long as
/// every field at the roots of the schema may be null.
pub fn executed(mut response: Executed, answer: AnswerType) -> Response {
    if response.data == Value::Null && !response.errors.is_empty() {
        return refused(response.errors, answer);
    }
    response.errors.iter_mut().for_each(name);
    write(StatusCode::OK, answer, &response)
}

/// Gives an error a code if it has none, so that clients can always branch on one.
pub(crate) fn name(error: &mut ServerError) {
    let extensions = error.extensions.get_or_insert_default();
    if extensions.get("code").is_none() {
        extensions.set("code", INVALID);
    }
}

fn write(status: StatusCode, answer: AnswerType, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let content_type = HeaderValue::from_static(answer.content_type());
            let mut answer = (status, [(CONTENT_TYPE, content_type)], body).into_response();
            answer.extensions_mut().insert(OwnFormat);
            answer
        }
        // It is made of texts and numbers, so this never happens.
        Err(_) => Problem::internal().into_response(),
    }
}
