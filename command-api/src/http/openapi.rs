//! The OpenAPI 3.1 document. The parts that all operations share are added here, once.

use std::collections::BTreeMap;

use service_kit::Envelope;
use service_kit::http::Version;
use service_kit::input::schema::EntityTags;
use service_kit::openapi::{describe_header, problem};
use utoipa::PartialSchema as _;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};

use super::dry_run::DryRunData;
use super::idempotency_key;
use super::version::is_identity;

mod auth;
mod version;

const JSON: &str = "application/json";
/// The end of the path of the operation for commands.
const COMMANDS: &str = "/commands";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// The schema names of the answers to a command and to a dry run, before all answers are named.
const CHANGED: &str = "Envelope_Changed";
const DRY_RUN: &str = "Envelope_DryRun";

const KEY: &str = "A key for this command, bare or in double quotes. A repeat with the same key \
    gets the first answer, with `Idempotent-Replayed: true`. Another request must not have it \
    (`idempotency/key-reused`)";
const KEY_OF_BATCH: &str = "The key of an atomic batch, bare or in double quotes. Otherwise each \
    command has its own key in the body, and this header is refused (`command/header`)";
const IF_MATCH: &str = "The versions that the resource may be at: `\"<version>\"`, or a tag of \
    the query API, whose version counts. The answer is 412 if it is at another one";
const IF_NONE_MATCH: &str = "The versions that the resource must not be at, written as in \
    `If-Match`, or `*` if it must not exist. The answer is 412 if it is at one of them, or with \
    `*` if it exists";

/// The frame of the document. Paths and schemas come from the handlers.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Daybook command API",
        description = "Takes commands to the shop. Every answer has a consistency token. Give it \
            to the query API, which then waits until it shows the effect of the command.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    components(schemas(Envelope<DryRunData>)),
)]
pub(super) struct Document;

/// The problems that every operation can answer with, apart from its own.
const PROBLEMS: [(&str, &str); 11] = [
    ("400", "The request cannot be parsed"),
    ("401", "Sign in first, or the access token is not valid; see `WWW-Authenticate`"),
    ("403", "The caller lacks the permission, which `WWW-Authenticate` names"),
    ("404", "The resource does not exist, or not for the caller"),
    ("408", "The request did not arrive in time"),
    (
        "409",
        "A rule of the shop refuses the command, or the first request with this idempotency \
            key is still in flight",
    ),
    ("413", "The body is larger than 64 KiB"),
    ("422", "Some of the content is invalid, or the idempotency key was used for another request"),
    ("500", "Something went wrong on the server"),
    (
        "503",
        "Nothing was changed, or the outcome is unknown; try again with the same idempotency \
            key",
    ),
    ("504", "The answer took too long"),
];

/// Adds the parts that every operation has: headers in and out, and problems.
pub(super) fn complete(version: Version, mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        if is_identity(version, path) {
            auth::complete(item);
            continue;
        }
        let PathItem { put, post, patch, delete, .. } = item;
        if let Some(patch) = patch {
            describe_patch(patch);
        }
        for operation in [put, post, patch, delete].into_iter().flatten() {
            complete_operation(path, operation);
        }
    }
    identity::openapi::secure(&mut document);
    service_kit::openapi::describe_layers(&mut document);
    version::describe(version, &mut document);
    service_kit::openapi::completed(document)
}

fn complete_operation(path: &str, operation: &mut Operation) {
    if path.ends_with(COMMANDS) {
        complete_commands(operation);
        return;
    }
    let creates = operation.responses.responses.contains_key("201");
    let named = path.contains("{id}") && !(creates && path.ends_with("/orders"));
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(header_parameter("Idempotency-Key", KEY, key()));
    parameters.push(RefOr::T(dry_run()));
    parameters.push(header_parameter("If-Match", IF_MATCH, EntityTags::schema()));
    parameters.push(header_parameter("If-None-Match", IF_NONE_MATCH, EntityTags::schema()));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            describe_success(response, creates);
        }
    }
    let responses = &mut operation.responses.responses;
    describe_dry_run(responses);
    for (status, description) in PROBLEMS {
        responses.entry(status.to_owned()).or_insert_with(|| problem(description));
    }
    let failed = if named {
        "The precondition does not hold; the newest version is in ETag"
    } else {
        "If-Match requires a version, but the resource does not exist yet"
    };
    responses.insert("412".to_owned(), problem(failed));
    if operation.request_body.is_some() {
        responses.insert("415".to_owned(), problem("The body is not JSON"));
    }
}

/// Adds what the operation for commands has. Keys and versions are in its body.
fn complete_commands(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(header_parameter("Idempotency-Key", KEY_OF_BATCH, key()));
    parameters.push(RefOr::T(dry_run()));
    let responses = &mut operation.responses.responses;
    for (status, description) in PROBLEMS {
        responses.entry(status.to_owned()).or_insert_with(|| problem(description));
    }
    responses.insert("415".to_owned(), problem("The body is not JSON"));
}

/// A PATCH takes a merge patch under its own media type, too.
fn describe_patch(operation: &mut Operation) {
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(json) = body.content.get(JSON).cloned()
    {
        body.content.insert(MERGE_PATCH.to_owned(), json);
    }
}

/// The schema of an idempotency key in its header.
fn key() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(idempotency_key::PATTERN)).into()
}

fn header_parameter(name: &str, description: &str, schema: RefOr<Schema>) -> RefOr<Parameter> {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema));
    RefOr::T(parameter.build())
}

fn dry_run() -> Parameter {
    let description = "With `true`, nothing is changed. The answer has the events that would be \
        appended, and whether the requirements of the append hold. An idempotency key is neither \
        looked up nor stored.";
    ParameterBuilder::new()
        .name("dry_run")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
        .build()
}

/// Describes the answer to a dry run: a 200 with its own body, besides the answer to the command.
fn describe_dry_run(responses: &mut BTreeMap<String, RefOr<Response>>) {
    let dry_run = Ref::from_schema_name(DRY_RUN);
    if let Some(RefOr::T(done)) = responses.get_mut("200") {
        done.description.push_str("; with `dry_run`, what it would do");
        let either = AnyOfBuilder::new().item(Ref::from_schema_name(CHANGED)).item(dry_run);
        done.content
            .insert(JSON.to_owned(), ContentBuilder::new().schema(Some(either)).build().into());
    } else {
        let content = ContentBuilder::new().schema(Some(dry_run)).build();
        let told = ResponseBuilder::new()
            .description("With `dry_run`: what the command would do")
            .content(JSON, content)
            .build();
        responses.insert("200".to_owned(), told.into());
    }
}

fn describe_success(response: &mut Response, creates: bool) {
    for (name, description) in [
        ("ETag", "`\"<version>\"`"),
        ("Consistency-Token", "The same as `meta.consistency_token`"),
        (
            "Idempotent-Replayed",
            "`true` if this is the answer to an earlier request with the same key",
        ),
        ("X-Request-Id", "The request's id"),
    ] {
        describe_header(response, name, description, Type::String);
    }
    if creates {
        let description = "The resource's URL in the query API";
        describe_header(response, "Location", description, Type::String);
    }
}
