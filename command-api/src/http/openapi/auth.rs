//! What all operations of identity share in the OpenAPI document. They are no commands: they have
//! no idempotency key, no dry run and no version.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Response};

use super::problem;

/// The problems that every operation of identity can answer with, apart from its own.
const PROBLEMS: [(&str, &str); 9] = [
    ("400", "The request cannot be parsed"),
    ("401", "Sign in first, or the credentials are not valid"),
    ("404", "This deployment has no log-in"),
    ("408", "The request did not arrive in time"),
    ("413", "The body is larger than 64 KiB"),
    ("422", "Some of the content is invalid"),
    ("500", "Something went wrong on the server"),
    ("503", "The servers behind are away or overloaded; try again later"),
    ("504", "The answer took too long"),
];

/// Adds the parts that every operation of identity has.
pub(super) fn complete(item: &mut PathItem) {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten().for_each(complete_operation);
}

fn complete_operation(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    for (status, description) in PROBLEMS {
        responses.entry(status.to_owned()).or_insert_with(|| problem(description));
    }
    if operation.request_body.is_some() {
        responses.insert("415".to_owned(), problem("The body is not JSON"));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        add(response, "X-Request-Id", "The request's id");
        match status.as_str() {
            "401" => add(response, "WWW-Authenticate", "`Bearer`"),
            "429" | "503" => add(response, "Retry-After", "Seconds until another attempt"),
            _ => {}
        }
    }
}

fn add(response: &mut Response, name: &str, description: &str) {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
    response.headers.insert(name.to_owned(), RefOr::T(header));
}
