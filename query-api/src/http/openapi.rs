//! The API's OpenAPI description. It is made from the same table as the routes.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use service_kit::openapi::{describe_deprecation, describe_header, describe_version, rendered};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, RefOr, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Version;
use super::export::Format;
use super::{Api, document};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Daybook query API",
        description = "Answers questions from the read tables. Every answer names the position \
            of the log up to which it is complete. With the consistency token of a command, a \
            query waits until it shows the effect of that command.",
        license(name = "MIT OR Apache-2.0", url = "https://spdx.org/licenses/Apache-2.0.html")
    ),
    servers((url = "/", description = "This server"))
)]
struct Head;

/// The tag of the document's own operation.
#[derive(utoipa::OpenApi)]
#[openapi(tags((name = "about", description = "This API")))]
struct Tag;

const ETAG: &str = "The tag of the content. For a row it is strong and begins with the row's \
    version. For a list it is weak. It changes whenever `data` or `meta.stale` may have changed";

const POSITION: &str = "Of an export: the position up to which it is complete, as `meta.position` \
    is in JSON";

const LAG: &str = "Of an export: how old its rows are, in seconds, as `meta.lag_seconds` is in \
    JSON. Absent if that is not known";

const STALE: &str = "Of an export: `true` if a row of the read model lacks events that could not \
    be applied. It need not be one of these rows";

const EVENTS: &str = "Server-sent events: `row` for each row of the answer and `complete`, then \
    `changed`, `erased`, `stale` and `left` as rows change. Their data are `{data, meta}` with a \
    row. With `Last-Event-ID`, what the client missed and `resumed`, or `reset`. `end` says why \
    the stream ends";
const EXAMPLE: &str = "id: 4711.1.019a00000000700080000000000000a1.-\nevent: complete\n\
    data: {\"meta\":{\"position\":4711}}\n\n";

pub(super) fn head() -> OpenApi {
    Head::openapi()
}

/// The route of the document itself.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(serve))
}

/// Adds the parts that every operation has: headers in and out, and problems.
pub(super) fn complete(version: Version, document: OpenApi) -> OpenApi {
    let mut document = service_kit::openapi::completed(document);
    identity::openapi::secure(&mut document);
    service_kit::openapi::describe_layers(&mut document);
    document.info.title = format!("{}, {}", document.info.title, version.name());
    for (path, item) in &mut document.paths.paths {
        if let Some(operation) = &mut item.get {
            describe_headers(path, operation);
            describe_events(operation);
        }
    }
    describe_version(&mut document, version.number().0);
    // Only version 1 can be deprecated.
    if version == Version::V1 {
        describe_deprecation(&mut document);
    }
    document
}

/// Describes the exports of a list.
fn describe_exports(response: &mut Response) {
    response.description.push_str(". As CSV or NDJSON, it is the whole list");
    for format in Format::EXPORTS {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(format.about()));
        let content = ContentBuilder::new().schema(Some(text)).build();
        response.content.insert(format.media_type().to_owned(), content.into());
    }
}

/// Adds the stream of events to the answers of an operation that takes `Last-Event-ID`.
fn describe_events(operation: &mut Operation) {
    let is_live = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => parameter.name == "Last-Event-ID",
        RefOr::Ref(_) => false,
    };
    if !operation.parameters.iter().flatten().any(is_live) {
        return;
    }
    if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(EVENTS));
        let content = ContentBuilder::new().schema(Some(text));
        let content = content.example(Some(EXAMPLE.into())).build();
        answer.content.insert("text/event-stream".to_owned(), RefOr::T(content));
    }
}

/// Describes the headers of each answer.
fn describe_headers(path: &str, operation: &mut Operation) {
    let is_query = path.starts_with("/api/");
    let is_size = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => parameter.name == "page_size",
        RefOr::Ref(_) => false,
    };
    let is_list = operation.parameters.iter().flatten().any(is_size);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if is_list && status == "200" {
            describe_exports(response);
        }
        let mut has = |name: &str, description: &str, type_of: Type| {
            describe_header(response, name, description, type_of);
        };
        has("X-Request-Id", "The request's id", Type::String);
        match status.as_str() {
            "200" | "304" if is_query => {
                has("ETag", ETAG, Type::String);
                has(
                    "Cache-Control",
                    "`private, no-cache`: store it, but check with the server before each use",
                    Type::String,
                );
                has("Vary", "The request headers that the answer depends on", Type::String);
                has(
                    "Preference-Applied",
                    "`wait=n`, if the caller named a token and the longest time to wait for it",
                    Type::String,
                );
                if is_list && status == "200" {
                    has("Data-Position", POSITION, Type::Integer);
                    has("Data-Epoch", "Of an export: what `meta.epoch` is in JSON", Type::String);
                    has("Data-Lag-Seconds", LAG, Type::Number);
                    has("Data-Stale", STALE, Type::String);
                    has(
                        "Content-Disposition",
                        "Of an export: `attachment`, with the name of a file",
                        Type::String,
                    );
                }
                if is_list {
                    has(
                        "Link",
                        "Links to the neighbouring pages of the list (RFC 8288), if there are any",
                        Type::String,
                    );
                }
            }
            "401" | "403" => {
                has("WWW-Authenticate", "`Bearer`, with an error (RFC 6750)", Type::String);
            }
            "412" if is_query => has("ETag", ETAG, Type::String),
            "503" => has("Retry-After", "The seconds to wait before a retry", Type::Integer),
            _ => {}
        }
    }
}

static V1: LazyLock<Bytes> = LazyLock::new(|| rendered(&document(Version::V1)));
static V2: LazyLock<Bytes> = LazyLock::new(|| rendered(&document(Version::V2)));

/// Returns the description of version 2. It is not an operation of that description.
pub(super) async fn serve_v2() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], V2.clone())
}

/// Returns the description of this API.
#[utoipa::path(
    get, path = "/openapi.json", tag = "about", operation_id = "describe",
    responses(
        (status = 200, description = "The description of this API, in OpenAPI 3.1",
            content_type = "application/json", body = serde_json::Value),
        super::answer::Failures,
    )
)]
async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], V1.clone())
}
