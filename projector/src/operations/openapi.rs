//! The OpenAPI document of the admin port's operations. The tests check its kinds, fields and
//! limits against the code that reads them.

use axum::response::{IntoResponse as _, Response};
use projection::operation::record::MAX_WORDS;
use projection::operation::{Kind, MAX_KEPT};
use serde_json::{Map, Value, json};
use service_kit::problem::{FieldError, PROBLEM_JSON, ProblemBody};
use utoipa::PartialSchema as _;

use super::PATH;
use super::request::MAX_PAGE;

/// The path that serves the document.
pub(super) const DOCUMENT_PATH: &str = "/admin/v1/openapi.json";

const RECORD: &str = "#/components/schemas/Operation";
const PROBLEM: &str = "#/components/schemas/Problem";

/// Answers with the document.
pub(super) async fn serve() -> Response {
    axum::Json(document()).into_response()
}

/// Returns the document.
pub(crate) fn document() -> Value {
    let id = json!({"name": "id", "in": "path", "required": true, "schema": uuid()});
    let one = format!("{PATH}/{{id}}");
    let cancel = format!("{PATH}/{{id}}/cancel");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Daybook projector operations",
            "description": "Asks a running projector for operations, follows and cancels them. \
                The port listens on loopback only; `by` is a claim that nothing verifies.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{}],
        "paths": {
            PATH: {
                "get": list(),
                "post": described("addOperation", "Records an operation and answers at once.",
                    &json!({"required": true, "content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Request"}}}}),
                    ("202", "The operation is recorded; `Location` is its address", one_record())),
            },
            one: {
                "parameters": [id],
                "get": described("findOperation", "Returns one operation.", &Value::Null,
                    ("200", "The operation", one_record())),
            },
            cancel: {
                "parameters": [id],
                "post": described("cancelOperation", "Asks to cancel an operation.",
                    &json!({"required": true, "content": {"application/json": {
                        "schema": object(&[("by", words("Who cancels it"), true)])}}}),
                    ("202", "The operation is cancelled, or will be soon", one_record())),
            },
            DOCUMENT_PATH: {
                "get": described("describeOperations", "Returns this document.", &Value::Null,
                    ("200", "The document", json!({"type": "object"}))),
            },
        },
        "components": {"schemas": {
            "Request": {"oneOf": Kind::ALL.iter().map(|kind| request(*kind)).collect::<Vec<_>>()},
            "Operation": record(),
            "Problem": ProblemBody::schema(),
            "FieldError": FieldError::schema(),
        }},
    })
}

/// The description of one method, with the problems that every one can answer with.
fn described(
    id: &str,
    summary: &str,
    body: &Value,
    (status, description, schema): (&str, &str, Value),
) -> Value {
    let mut responses = Map::new();
    let content = json!({"application/json": {"schema": schema}});
    responses.insert(status.to_owned(), json!({"description": description, "content": content}));
    for (status, description) in [
        ("400", "The request cannot be parsed"),
        ("404", "There is no such operation"),
        (
            "409",
            "Another operation works on the projection (`operation/busy`), the projection is \
            paused (`operation/paused`), or the operation has ended (`operation/finished`)",
        ),
        ("413", "The body is too large"),
        ("415", "The body is not JSON"),
        ("422", "A field is wrong; `errors` names each"),
        ("503", "The read model's database is away, or too many operations or requests wait"),
    ] {
        let content = json!({PROBLEM_JSON: {"schema": {"$ref": PROBLEM}}});
        responses
            .insert(status.to_owned(), json!({"description": description, "content": content}));
    }
    let mut described = json!({"operationId": id, "summary": summary, "responses": responses});
    if !body.is_null() {
        described["requestBody"] = body.clone();
    }
    described
}

fn list() -> Value {
    let data = json!({"type": "array", "items": {"$ref": RECORD}});
    let mut list = described(
        "listOperations",
        &format!("Lists operations, the newest first; {MAX_KEPT} finished ones are kept."),
        &Value::Null,
        ("200", "The operations", envelope(&data)),
    );
    list["parameters"] = json!([
        {"name": "before", "in": "query", "schema": uuid(),
            "description": "List the operations before this one"},
        {"name": "limit", "in": "query", "schema": integer("", 1, MAX_PAGE.into()),
            "description": "The maximum number of operations"},
    ]);
    list
}

fn one_record() -> Value {
    envelope(&json!({"$ref": RECORD}))
}

fn envelope(data: &Value) -> Value {
    object(&[("data", data.clone(), true), ("meta", json!({"type": "object"}), true)])
}

/// The body of a request for an operation of this kind.
fn request(kind: Kind) -> Value {
    let arguments = arguments(kind);
    let is_needed = arguments.iter().any(|(.., is_required)| *is_required);
    object(&[
        ("kind", json!({"const": kind.as_str()}), true),
        ("projection", json!({"type": "string", "description": "The projection's name"}), true),
        ("by", words("Who asks"), true),
        ("reason", words("Why"), true),
        ("arguments", object(&arguments), is_needed),
    ])
}

/// The arguments of a kind: name, schema, and whether it is required.
fn arguments(kind: Kind) -> Vec<(&'static str, Value, bool)> {
    let flag = |name, description: &str| {
        (name, json!({"type": "boolean", "default": false, "description": description}), false)
    };
    let number =
        |name, description: &str, least, most| (name, integer(description, least, most), false);
    let text = |name, description: &str| {
        (name, json!({"type": "string", "description": description}), false)
    };
    let patience = || number("patience", "Seconds to retry the switch", 0, 3_600);
    let memory = || number("memory", "The memory limit for folded rows, in MiB", 0, 16_384);
    let generation = |description| number("generation", description, 1, i64::from(i32::MAX));
    let position = |description| number("position", description, 1, i64::MAX);
    let required = |(name, schema, _)| (name, schema, true);
    match kind {
        Kind::Rebuild => vec![
            flag("resume", "Resume an unfinished rebuild"),
            number("partitions", "The number of partitions; by default as before", 1, 64),
            number("throttle", "The maximum number of events per second", 1, u32::MAX.into()),
            flag("no_switch", "Do not switch queries to the new generation"),
            flag("no_compare", "Do not compare with the live rows"),
            flag("despite_differences", "Switch even if rows of the same fold version differ"),
            patience(),
            memory(),
        ],
        Kind::Verify => vec![
            (
                "sample",
                json!({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1,
                "description": "The share of the keys; by default all"}),
                false,
            ),
            (
                "seed",
                json!({"type": "string", "maxLength": 100,
                "description": "Selects the keys of the sample"}),
                false,
            ),
            memory(),
        ],
        Kind::Switch => vec![generation("By default the one before the live one"), patience()],
        Kind::Drop => vec![required(generation("The number of the generation"))],
        Kind::Pause | Kind::Resume => Vec::new(),
        Kind::ParkedRetry => vec![
            text("key", "Retry only the row with this key"),
            position("Retry only rows that lack the event at this position"),
            number("wait", "Seconds to wait for the outcome", 0, 3_600),
        ],
        Kind::ParkedSkip => vec![
            required(position("The position of the event")),
            text("key", "The key of the row; by default every row that refuses the event"),
        ],
    }
}

/// The schema of a recorded operation.
fn record() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let maybe = |description: &str| json!({"type": ["string", "null"], "description": description});
    let time = |description: &str| json!({"type": ["string", "null"], "format": "date-time", "description": description});
    let count = |description: &str| json!({"type": "integer", "description": description});
    object(&[
        ("id", uuid(), true),
        (
            "kind",
            json!({"type": "string", "enum": Kind::ALL.iter().map(|kind| kind.as_str())
            .collect::<Vec<_>>()}),
            true,
        ),
        ("projection", text("The projection's name"), true),
        ("arguments", json!({"type": "object"}), true),
        ("requested_by", text("Who asked for it"), true),
        ("reason", text("Why"), true),
        ("requested_at", json!({"type": "string", "format": "date-time"}), true),
        (
            "state",
            json!({"type": "string",
            "enum": ["queued", "running", "succeeded", "failed", "cancelled"]}),
            true,
        ),
        ("work", maybe("The current work"), true),
        ("position", count("The position of the log that the work has reached"), true),
        ("end_position", count("The position at which the work ends"), true),
        ("attempts", count("How often a process has taken it"), true),
        ("started_at", time("When the first attempt began"), true),
        ("heartbeat_at", time("When the latest attempt last recorded progress"), true),
        ("cancel_wanted", json!({"type": "boolean"}), true),
        ("cancelled_by", maybe("Who asked first to cancel it"), true),
        ("result", json!({"description": "The result, as the kind defines it"}), true),
        ("error", maybe("Why it failed, or what it waits for"), true),
        ("finished_at", time("When it ended"), true),
    ])
}

/// An object without other fields.
fn object(fields: &[(&str, Value, bool)]) -> Value {
    let required: Vec<&str> =
        fields.iter().filter(|field| field.2).map(|(name, ..)| *name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema, _)| ((*name).to_owned(), schema.clone())).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

fn integer(description: &str, least: i64, most: i64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
}

fn words(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_WORDS, "description": description})
}

fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

#[cfg(test)]
mod tests;
