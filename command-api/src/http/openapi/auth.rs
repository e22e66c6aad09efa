//! What all operations of identity share in the OpenAPI document. They are no commands: they have
//! no idempotency key, no dry run and no version.

use service_kit::openapi::{describe_header, problem};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Type;

/// The problems that every operation of identity can answer with, apart from its own.
const PROBLEMS: [(&str, &str); 10] = [
    ("400", "The request cannot be parsed"),
    ("401", "Sign in first, or the credentials are not valid"),
    (
        "403",
        "The caller may not do this, or acts with an API key, or a page of another origin asks",
    ),
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
        describe_header(response, "X-Request-Id", "The request's id", Type::String);
        match status.as_str() {
            "401" => describe_header(response, "WWW-Authenticate", "`Bearer`", Type::String),
            "429" | "503" => {
                let description = "Seconds until another attempt";
                describe_header(response, "Retry-After", description, Type::Integer);
            }
            _ => {}
        }
    }
}
