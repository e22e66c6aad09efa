//! The OpenAPI document of an API of operations. A program adds its kinds, arguments and record.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use super::{DOCUMENT_PATH, MAX_PAGE, PATH};
use crate::problem::{FieldError, PROBLEM_JSON, ProblemBody};

const RECORD: &str = "#/components/schemas/Operation";
const PROBLEM: &str = "#/components/schemas/Problem";
/// The name of the security scheme.
const TOKEN: &str = "accessToken";
/// The part of [`Description::description`] about permissions. It is the same in every program.
pub const WHO_MAY_ASK: &str = "The port listens on loopback only. A process that can verify access \
    tokens asks for one with the right permission, and the record names its holder. Without tokens \
    everybody who reaches the port may ask, and nothing verifies the claim in `by`.";

/// What distinguishes one program's API of operations.
#[derive(Debug)]
pub struct Description<'a> {
    /// The title of the document.
    pub title: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// What the API is for.
    pub description: &'a str,
    /// What the list of operations holds.
    pub list: String,
    /// When a request is answered with 409.
    pub conflict: &'static str,
    /// When a request is answered with 503.
    pub unavailable: &'static str,
    /// The schema of the text that says who asks or cancels.
    pub by: Value,
    /// The body of a request, one schema for each kind; see [`request`].
    pub requests: Vec<Value>,
    /// The fields of a record; see [`object`] and [`recorded`].
    pub record: Value,
}

/// A field of an object: its name, its schema, and whether it is required.
pub type Field = (&'static str, Value, bool);

/// Makes the document, in OpenAPI 3.1.
pub fn document(about: &Description<'_>) -> Value {
    let id = json!({"name": "id", "in": "path", "required": true, "schema": uuid()});
    let (list, methods) = (listed(about), Methods(about));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "description": about.description,
            "version": about.version,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{TOKEN: []}, {}],
        "paths": {
            PATH: {
                "get": list,
                "post": methods.described(
                    ("addOperation", "Records an operation and answers at once."),
                    &body(&json!({"$ref": "#/components/schemas/Request"})),
                    ("202", "The operation is recorded; `Location` is its address", one_record())),
            },
            format!("{PATH}/{{id}}"): {
                "parameters": [id],
                "get": methods.described(("findOperation", "Returns one operation."), &Value::Null,
                    ("200", "The operation", one_record())),
            },
            format!("{PATH}/{{id}}/cancel"): {
                "parameters": [id],
                "post": methods.described(("cancelOperation", "Asks to cancel an operation."),
                    &body(&object(&[("by", about.by.clone(), false)])),
                    ("202", "The operation is cancelled, or will be soon", one_record())),
            },
            DOCUMENT_PATH: {
                "get": methods.described(("describeOperations", "Returns this document."),
                    &Value::Null, ("200", "The document", json!({"type": "object"}))),
            },
        },
        "components": {
            "schemas": {
                "Request": {"oneOf": about.requests},
                "Operation": about.record,
                "Problem": ProblemBody::schema(),
                "FieldError": FieldError::schema(),
            },
            "securitySchemes": {
                TOKEN: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

struct Methods<'a>(&'a Description<'a>);

impl Methods<'_> {
    /// The description of one method, with the problems that every one can answer with.
    fn described(
        &self,
        (id, summary): (&str, &str),
        body: &Value,
        (status, description, schema): (&str, &str, Value),
    ) -> Value {
        let mut responses = Map::new();
        let content = json!({"application/json": {"schema": schema}});
        let success = json!({"description": description, "content": content});
        responses.insert(status.to_owned(), success);
        for (status, description) in [
            ("400", "The request cannot be parsed"),
            ("401", "The access token is missing or not valid"),
            ("403", "The access token lacks the permission"),
            ("404", "There is no such operation"),
            ("409", self.0.conflict),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("422", "A field is wrong; `errors` names each"),
            ("503", self.0.unavailable),
        ] {
            let content = json!({PROBLEM_JSON: {"schema": {"$ref": PROBLEM}}});
            let problem = json!({"description": description, "content": content});
            responses.insert(status.to_owned(), problem);
        }
        let mut described = json!({"operationId": id, "summary": summary, "responses": responses});
        if !body.is_null() {
            described["requestBody"] = body.clone();
        }
        described
    }
}

fn body(schema: &Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn listed(about: &Description<'_>) -> Value {
    let data = json!({"type": "array", "items": {"$ref": RECORD}});
    let mut list = Methods(about).described(
        ("listOperations", &about.list),
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

/// The body of a request for an operation of this kind. `more` are the fields besides kind, who,
/// why and arguments.
pub fn request(
    kind: &str,
    (by, reason): (Value, Value),
    more: &[Field],
    arguments: &[Field],
) -> Value {
    let is_needed = arguments.iter().any(|(.., is_required)| *is_required);
    let mut fields = vec![("kind", json!({"const": kind}), true)];
    fields.extend_from_slice(more);
    fields.extend([
        ("by", by, false),
        ("reason", reason, true),
        ("arguments", object(arguments), is_needed),
    ]);
    object(&fields)
}

/// The fields of a record that every program has; `kinds` are the names of the kinds.
pub fn recorded(kinds: &[&str]) -> Vec<Field> {
    vec![
        ("id", uuid(), true),
        ("kind", json!({"type": "string", "enum": kinds}), true),
        ("arguments", json!({"type": "object"}), true),
        ("requested_by", text("Who asked for it: `user:ID`, or without a token a claim"), true),
        ("requested_with", credential("that `requested_by` is proven with"), true),
        ("reason", text("Why"), true),
        ("requested_at", json!({"type": "string", "format": "date-time"}), true),
        (
            "state",
            json!({"type": "string",
            "enum": ["queued", "running", "succeeded", "failed", "cancelled"]}),
            true,
        ),
        ("work", perhaps("The current work"), true),
        ("attempts", count("How often a process has tried"), true),
        ("started_at", time("When the first attempt began"), true),
        ("heartbeat_at", time("When the latest attempt last recorded progress"), true),
        ("cancel_wanted", json!({"type": "boolean"}), true),
        ("cancelled_by", perhaps("Who asked first to cancel it"), true),
        ("cancelled_with", credential("that `cancelled_by` is proven with"), true),
        ("result", json!({"description": "The result, as the kind defines it"}), true),
        ("error", perhaps("Why it failed, or what it waits for"), true),
        ("finished_at", time("When it ended"), true),
    ]
}

/// The schema of an object with these fields and no others.
pub fn object(fields: &[Field]) -> Value {
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

/// The schema of an integer from `least` to `most`.
pub fn integer(description: &str, least: i64, most: i64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
}

/// The schema of a number of things.
pub fn count(description: &str) -> Value {
    json!({"type": "integer", "description": description})
}

/// The schema of a text of 1 to `most` characters.
pub fn words(description: &str, most: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": most, "description": description})
}

/// The schema of a text of any length.
pub fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// The schema of a time (RFC 3339), or null.
pub fn time(description: &str) -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": description})
}

fn credential(what: &str) -> Value {
    let description = format!("The session or API key {what}; null without a token");
    json!({"type": ["string", "null"], "format": "uuid", "description": description})
}

fn perhaps(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

/// The schema of an id: a UUID.
pub fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}
