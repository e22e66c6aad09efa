//! The OpenAPI document of the operations on sagas. A test checks the fields of what is shown.

use axum::response::{IntoResponse as _, Response};
use saga::ops::MAX_TIMELINE;
use serde_json::{Map, Value, json};
use service_kit::operations::DOCUMENT_PATH;
use service_kit::operations::document::{
    Field, WHO_MAY_ASK, count, integer, object, text, time, uuid, words,
};
use service_kit::problem::{FieldError, PROBLEM_JSON, ProblemBody};
use utoipa::PartialSchema as _;

use super::{DEFAULT_LIMIT, FOLD_AGAIN, MAX_BY, MAX_LIMIT, MAX_REASON, PATH};

/// The name of the security scheme.
const TOKEN: &str = "accessToken";
/// The problems that every request can be answered with.
const PROBLEMS: [(&str, &str); 9] = [
    ("400", "The request cannot be parsed"),
    ("401", "The access token is missing or not valid"),
    ("403", "The access token lacks the permission `sagas:operate`"),
    ("404", "There is no such saga"),
    (
        "409",
        "The saga does not allow it now (`saga/refused`), or the program lacks the saga's steps \
            (`saga/no-definition`)",
    ),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "A field is wrong; `errors` names each"),
    ("503", "The log or the work tables are away"),
];

/// Answers with the document.
pub(super) async fn serve() -> Response {
    axum::Json(document()).into_response()
}

/// Returns the document, in OpenAPI 3.1.
pub(crate) fn document() -> Value {
    let description = format!(
        "Lists the sagas of a running process manager, shows what happened to one, and decides \
         about it. A decision is in the log before it is answered. {WHO_MAY_ASK}"
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Daybook process manager operations",
            "description": description,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{TOKEN: []}, {}],
        "paths": paths(),
        "components": {
            "schemas": {
                "Row": row(),
                "Saga": saga(),
                "Problem": ProblemBody::schema(),
                "FieldError": FieldError::schema(),
            },
            "securitySchemes": {
                TOKEN: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

fn paths() -> Value {
    let mut paths = Map::new();
    paths.insert(PATH.to_owned(), json!({ "get": listed() }));
    let (id, shown) = (id(), json!({"parameters": [id()], "get": shown()}));
    paths.insert(format!("{PATH}/{{id}}"), shown);
    let step = || ("step", text("The step's name"), true);
    let reason = || ("reason", words("Why, without personal data", MAX_REASON), true);
    for (verb, name, summary, fields) in [
        ("retry", "retrySaga", "Begins the next attempt of a step now.", vec![step()]),
        (
            "skip-compensation",
            "skipCompensation",
            "Decides that the compensation of a step is not needed.",
            vec![step(), reason()],
        ),
        ("give-up", "giveUpSaga", "Undoes a saga from where it is.", vec![reason()]),
        ("resume", "resumeSaga", "Lets a parked saga go on.", vec![]),
        ("park", "parkSaga", "Lets a saga stand still until it is resumed.", vec![reason()]),
    ] {
        let mut asked = answered(name, summary, &one());
        asked["requestBody"] = body(fields);
        let asked = json!({"parameters": [id.clone()], "post": asked});
        paths.insert(format!("{PATH}/{{id}}/{verb}"), asked);
    }
    let summary = "Makes the processes fold the log into their list of work again.";
    let mut again = answered("foldSagasAgain", summary, &envelope(&json!({"type": "object"})));
    again["requestBody"] = body(vec![]);
    paths.insert(format!("{PATH}/{FOLD_AGAIN}"), json!({ "post": again }));
    let document = answered("describeSagas", "Returns this document.", &json!({"type": "object"}));
    paths.insert(DOCUMENT_PATH.to_owned(), json!({ "get": document }));
    paths.into()
}

/// A method that answers with this, or with a problem.
fn answered(name: &str, summary: &str, schema: &Value) -> Value {
    let content = json!({"application/json": {"schema": schema}});
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({"description": "Done", "content": content}));
    for (status, description) in PROBLEMS {
        let content = json!({PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}});
        let problem = json!({"description": description, "content": content});
        responses.insert(status.to_owned(), problem);
    }
    json!({"operationId": name, "summary": summary, "responses": responses})
}

fn listed() -> Value {
    let rows = json!({"type": "array", "items": {"$ref": "#/components/schemas/Row"}});
    let summary = "Lists the sagas that have not ended, those without progress for longest first.";
    let mut listed = answered("listSagas", summary, &envelope(&rows));
    let mut limit = integer("The maximum number of sagas", 1, MAX_LIMIT);
    limit["default"] = DEFAULT_LIMIT.into();
    let status = "Only sagas in this status: absent, running, compensating, parked or failing";
    let seconds = "Only sagas without progress for this number of seconds";
    listed["parameters"] = json!([
        query("status", &text(status)),
        query("not_moved_for", &integer(seconds, 0, u32::MAX.into())),
        query("limit", &limit),
    ]);
    listed
}

fn shown() -> Value {
    let summary = "Shows a saga with a page of its timeline.";
    let mut shown = answered("showSaga", summary, &one());
    let after = integer("The version after which the page begins", 0, u32::MAX.into());
    let mut limit = integer("The maximum number of events", 1, MAX_TIMELINE.into());
    limit["default"] = MAX_TIMELINE.into();
    shown["parameters"] = json!([query("after", &after), query("limit", &limit)]);
    shown
}

fn query(name: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "schema": schema})
}

fn body(mut fields: Vec<Field>) -> Value {
    let by = json!({"type": "string", "minLength": 1, "maxLength": MAX_BY, "pattern": "^[!-~]+$",
        "description": "Who decides: an opaque id, which is not personal data. It is needed \
            without an access token, and refused with one"});
    fields.push(("by", by, false));
    json!({"required": true, "content": {"application/json": {"schema": object(&fields)}}})
}

fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": uuid(),
        "description": "The id of the saga, or that of its order"})
}

fn one() -> Value {
    envelope(&json!({"$ref": "#/components/schemas/Saga"}))
}

fn envelope(data: &Value) -> Value {
    object(&[("data", data.clone(), true), ("meta", json!({"type": "object"}), true)])
}

/// The fields that a saga has both in a list and alone.
fn common() -> Vec<Field> {
    vec![
        ("id", uuid(), true),
        ("saga", text("The name of the saga"), true),
        ("key", text("What it is about: the id of its order"), true),
        ("status", text("How far it is"), true),
        ("definition", count("The version of its steps"), true),
        ("reason", perhaps("Why it is undone"), true),
        ("due_at", time("When it is looked at next, if nothing happens before"), true),
    ]
}

/// The schema of [`super::Row`].
fn row() -> Value {
    let mut fields = common();
    fields.extend([
        ("waits_for", text("The steps that it waits for"), true),
        ("moved_at", json!({"type": "string", "format": "date-time"}), true),
        ("failures", count("How often it could not be driven since it last moved"), true),
        ("driven", json!({"type": "boolean", "description": "Whether a process has it now"}), true),
    ]);
    object(&fields)
}

/// The schema of [`super::Shown`].
fn saga() -> Value {
    let step = object(&[
        ("step", text("The step's name"), true),
        ("action", text("How far its action is"), true),
        ("compensation", text("How far its compensation is; empty if it was not asked for"), true),
    ]);
    let entry = object(&[
        ("version", count("The place in the saga's stream"), true),
        ("at", json!({"type": "string", "format": "date-time"}), true),
        ("what", text("What happened, in a few words"), true),
        ("by", perhaps("Who decided it: an opaque id; null if nobody did"), true),
    ]);
    let next = json!({"type": ["integer", "null"], "format": "int64",
        "description": "The version after which the next page begins; null on the last page"});
    let mut fields = common();
    fields.extend([
        ("parked_for", perhaps("Why it is parked"), true),
        ("steps", json!({"type": "array", "items": step}), true),
        ("timeline", json!({"type": "array", "items": entry}), true),
        ("next_after", next, true),
    ]);
    object(&fields)
}

fn perhaps(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

#[cfg(test)]
mod tests;
