//! Completes the OpenAPI documents of both APIs.

use axum::body::Bytes;
use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    Components, Content, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::problem::{PROBLEM_JSON, ProblemBody};

mod answers;
mod examples;
mod versions;

pub use versions::{describe_deprecation, describe_version};

/// Where the operations of an API begin.
const API_PREFIX: &str = "/api/";
/// The problems with which the layers answer, whatever the operation.
const LAYER_PROBLEMS: [(&str, &str); 2] = [
    ("421", "The server is not called by the name in `Host`"),
    ("429", "This client sends too many requests; see `Retry-After`"),
];
const SCHEMAS: &str = "#/components/schemas/";

/// Adds the schema of problems, and a problem to each answer with an error status that has no
/// content yet. Names the answers (the [`Envelope`](crate::Envelope) of an order is `OrderAnswer`),
/// adds examples of the bodies, and drops unused schemas.
pub fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let mut below = Vec::new();
    ProblemBody::schemas(&mut below);
    components.schemas.extend(below);
    add_problems(&mut document);
    answers::name_answers(&mut document);
    examples::add_examples(&mut document);
    while drop_unused(&mut document) {}
    document
}

/// Describes what the layers of a public port may answer to each operation of an API.
pub fn describe_layers(document: &mut OpenApi) {
    let operations = operations_mut(document).filter(|(path, _)| path.starts_with(API_PREFIX));
    for (_, operation) in operations {
        let responses = &mut operation.responses.responses;
        for (status, description) in LAYER_PROBLEMS {
            responses.entry(status.to_owned()).or_insert_with(|| problem(description));
        }
        for (status, response) in responses {
            let RefOr::T(response) = response else { continue };
            describe_rates(status, response);
        }
    }
}

/// Describes a header of an answer.
pub fn describe_header(response: &mut Response, name: &str, description: &str, type_of: Type) {
    let schema = ObjectBuilder::new().schema_type(type_of);
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
    response.headers.insert(name.to_owned(), header.into());
}

/// All operations of a document: method, path and description.
pub fn operations(document: &OpenApi) -> impl Iterator<Item = (Method, &str, &Operation)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        let PathItem { get, put, post, patch, delete, .. } = item;
        let operations = [
            (Method::GET, get),
            (Method::PUT, put),
            (Method::POST, post),
            (Method::PATCH, patch),
            (Method::DELETE, delete),
        ];
        operations.into_iter().filter_map(move |(method, operation)| {
            Some((method, path.as_str(), operation.as_ref()?))
        })
    })
}

/// All operations of a document, to change them: path and description.
pub fn operations_mut(document: &mut OpenApi) -> impl Iterator<Item = (&str, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem { get, put, post, patch, delete, .. } = item;
        let operations = [get, put, post, patch, delete].into_iter().flatten();
        operations.map(move |operation| (path.as_str(), operation))
    })
}

fn add_problems(document: &mut OpenApi) {
    for (_, operation) in operations_mut(document) {
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            if status.starts_with(['4', '5']) && response.content.is_empty() {
                response.content.insert(PROBLEM_JSON.to_owned(), problem_content().into());
            }
        }
    }
}

/// Describes the fields of the rate. An answer from before they are counted has none.
fn describe_rates(status: &str, response: &mut Response) {
    let mut has = |name: &str, description: &str, type_of: Type| {
        describe_header(response, name, description, type_of);
    };
    has(
        "RateLimit-Policy",
        "How many requests a client may send in a window of seconds, if there is a limit",
        Type::String,
    );
    has("RateLimit", "How many are left, and the seconds until all are again", Type::String);
    if status == "429" {
        has("Retry-After", "The seconds to wait before a retry", Type::Integer);
    }
}

/// The answer with a problem.
pub fn problem(description: &str) -> RefOr<Response> {
    let response = ResponseBuilder::new().description(description);
    response.content(PROBLEM_JSON, problem_content()).build().into()
}

fn problem_content() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build()
}

/// Renders the document as JSON. Do it once, because it takes milliseconds.
pub fn rendered(document: &OpenApi) -> Bytes {
    match document.to_json() {
        Ok(json) => json.into(),
        Err(error) => {
            tracing::error!(%error, "could not render the OpenAPI document");
            Bytes::new()
        }
    }
}

/// Drops unused schemas. Returns whether it dropped any: then schemas that only those used can go
/// too.
fn drop_unused(document: &mut OpenApi) -> bool {
    let mut used = std::collections::BTreeSet::new();
    references(&serde_json::to_value(&*document).unwrap_or_default(), &mut used);
    let Some(components) = &mut document.components else { return false };
    let before = components.schemas.len();
    components.schemas.retain(|name, _| used.contains(name));
    components.schemas.len() < before
}

fn references(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) =
                fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(SCHEMAS))
            {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
