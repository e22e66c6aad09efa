//! The OpenAPI document of the operations on subscriptions. A test checks its fields against the
//! code.

use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use service_kit::operations::DOCUMENT_PATH;
use service_kit::operations::document::{
    Field, WHO_MAY_ASK, count, integer, object, text, time, uuid, words,
};
use service_kit::problem::{FieldError, PROBLEM_JSON, ProblemBody};
use utoipa::PartialSchema as _;

use super::{DEFAULT_LIMIT, DEFAULT_RATE, MAX_BY, MAX_LIMIT, MAX_REASON, PATH, REPLAYS};
use crate::limits::{MAX_RATE, MAX_TYPES};
use crate::ops::MAX_NAME;
use crate::reach::MAX_URL_LEN;

/// The name of the security scheme.
const TOKEN: &str = "accessToken";
/// The problems that every request can be answered with.
const PROBLEMS: [(&str, &str); 9] = [
    ("400", "The request cannot be parsed"),
    ("401", "The access token is missing or not valid"),
    ("403", "The access token lacks the permission `webhooks:operate` or `webhooks:personal`"),
    ("404", "There is no such subscription or replay"),
    (
        "409",
        "It would change nothing (`webhook/nothing-to-do`), or there are as many as there may be \
            (`webhook/too-many`)",
    ),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "A field is wrong; `errors` names each"),
    ("503", "The log or the tables are away"),
];

/// Answers with the document.
pub(super) async fn serve() -> Response {
    axum::Json(document()).into_response()
}

/// Returns the document, in OpenAPI 3.1.
pub(crate) fn document() -> Value {
    let description = format!(
        "Manages the subscriptions of a running sender of webhooks, what was not delivered, and \
         replays. Each decision is recorded. {WHO_MAY_ASK}"
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Daybook webhooks operations",
            "description": description,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{TOKEN: []}, {}],
        "paths": paths(),
        "components": {
            "schemas": {
                "Subscription": subscription(),
                "Delivery": delivery(),
                "Replay": replay(),
                "Made": made(),
                "Begun": object(&[("id", uuid(), true)]),
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
    let list = answered("listSubscriptions", "Lists all subscriptions.", &many("Subscription"));
    let mut create =
        created("createSubscription", "Creates a subscription. Only this has its secret.", "Made");
    create["requestBody"] = body(creating());
    paths.insert(PATH.to_owned(), json!({"get": list, "post": create}));
    let show = answered("showSubscription", "Shows a subscription.", &one("Subscription"));
    paths.insert(format!("{PATH}/{{id}}"), json!({"parameters": [id()], "get": show}));
    for (what, name, summary, schema, fields) in decisions() {
        let mut asked = answered(name, summary, &one(schema));
        asked["requestBody"] = body(fields);
        let asked = json!({"parameters": [id()], "post": asked});
        paths.insert(format!("{PATH}/{{id}}/{what}"), asked);
    }
    let mut deliveries = answered(
        "listDeliveries",
        "Lists the deliveries that have not succeeded, in the log's order.",
        &many("Delivery"),
    );
    deliveries["parameters"] =
        json!(
            [query("after", &count("Only those after this position")), query("limit", &limit()),]
        );
    let deliveries = json!({"parameters": [id()], "get": deliveries});
    paths.insert(format!("{PATH}/{{id}}/deliveries"), deliveries);
    let mut replays =
        answered("listReplays", "Lists the replays, the newest first.", &many("Replay"));
    replays["parameters"] = json!([query("limit", &limit())]);
    let mut begin = created("beginReplay", "Sends events of the past once more.", "Begun");
    begin["requestBody"] = body(replaying());
    let replays = json!({"parameters": [id()], "get": replays, "post": begin});
    paths.insert(format!("{PATH}/{{id}}/replays"), replays);
    let mut cancel = answered("cancelReplay", "Ends a replay.", &one("Begun"));
    cancel["requestBody"] = body(vec![]);
    let cancel = json!({"parameters": [id()], "post": cancel});
    paths.insert(format!("{REPLAYS}/{{id}}/cancel"), cancel);
    let document =
        answered("describeWebhooks", "Returns this document.", &json!({"type": "object"}));
    paths.insert(DOCUMENT_PATH.to_owned(), json!({ "get": document }));
    paths.into()
}

/// The decisions about one subscription: path, name, summary, schema of the answer, and fields.
fn decisions() -> Vec<(&'static str, &'static str, &'static str, &'static str, Vec<Field>)> {
    const ROW: &str = "Subscription";
    let pause = "Sends nothing until it is resumed.";
    let rotate = "Replaces its secret. Only this has the new one.";
    let delete = "Deletes it with all that waits.";
    let retry = "Tries all parked deliveries again now, or the one of a position.";
    let skip = "Gives up the delivery of a position.";
    vec![
        ("pause", "pauseSubscription", pause, ROW, vec![reason()]),
        ("resume", "resumeSubscription", "Lets it go on.", ROW, vec![after()]),
        ("rotate", "rotateSecret", rotate, "Made", vec![]),
        ("delete", "deleteSubscription", delete, ROW, vec![reason()]),
        ("deliveries/retry", "retryDeliveries", retry, ROW, vec![position(false)]),
        ("deliveries/skip", "skipDelivery", skip, ROW, vec![position(true), reason()]),
    ]
}

fn created(name: &str, summary: &str, schema: &str) -> Value {
    let mut created = answered(name, summary, &one(schema));
    let done = created["responses"]["200"].take();
    if let Some(responses) = created["responses"].as_object_mut() {
        responses.remove("200");
        responses.insert("201".to_owned(), done);
    }
    created
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

fn one(schema: &str) -> Value {
    envelope(&json!({"$ref": format!("#/components/schemas/{schema}")}))
}

fn many(schema: &str) -> Value {
    let item = json!({"$ref": format!("#/components/schemas/{schema}")});
    envelope(&json!({"type": "array", "items": item}))
}

fn envelope(data: &Value) -> Value {
    object(&[("data", data.clone(), true), ("meta", json!({"type": "object"}), true)])
}

fn query(name: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "schema": schema})
}

fn limit() -> Value {
    let mut limit = integer("The maximum number of rows", 1, MAX_LIMIT);
    limit["default"] = DEFAULT_LIMIT.into();
    limit
}

fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": uuid(),
        "description": "The id of the subscription or replay"})
}

fn body(mut fields: Vec<Field>) -> Value {
    let by = json!({"type": "string", "minLength": 1, "maxLength": MAX_BY, "pattern": "^[!-~]+$",
        "description": "Who decides: an opaque id, which is not personal data. It is needed \
            without an access token, and refused with one"});
    fields.push(("by", by, false));
    json!({"required": true, "content": {"application/json": {"schema": object(&fields)}}})
}

fn reason() -> Field {
    ("reason", words("Why, without personal data", MAX_REASON), true)
}

fn after() -> Field {
    ("after", count("The position in the log after which it goes on"), false)
}

fn position(is_required: bool) -> Field {
    ("position", count("The position of the event in the log"), is_required)
}

fn types(description: &str) -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": MAX_TYPES, "items": {"type": "string"},
        "description": description})
}

fn creating() -> Vec<Field> {
    let url = json!({"type": "string", "maxLength": MAX_URL_LEN,
        "description": "The URL of the receiver: https, at a public address"});
    let personal = json!({"type": "boolean", "default": false,
        "description": "Whether it gets personal fields in the clear; takes `webhooks:personal`"});
    vec![
        ("name", words("A name for people", MAX_NAME), true),
        ("url", url, true),
        ("types", types("The event types that it gets, besides `subject.erased`"), true),
        ("personal", personal, false),
        ("after", count("The position in the log after which it begins; default the head"), false),
    ]
}

fn replaying() -> Vec<Field> {
    let mut rate = integer("Events per second", 1, MAX_RATE.into());
    rate["default"] = DEFAULT_RATE.into();
    let since = json!({"type": "string", "format": "date-time",
        "description": "The time of the first event, in the place of `from`"});
    vec![
        reason(),
        ("from", count("The position of the first event"), false),
        ("since", since, false),
        ("types", types("The event types; default those of the subscription"), false),
        ("rate", rate, false),
    ]
}

fn moment() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn perhaps(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn subscription() -> Value {
    object(&[
        ("id", uuid(), true),
        ("name", text("A name for people"), true),
        ("url", text("The URL of the receiver"), true),
        ("types", types("The event types that it gets, besides `subject.erased`"), true),
        ("personal", boolean("Whether it gets personal fields in the clear"), true),
        ("paused_for", perhaps("Why nothing is sent; null if it is active"), true),
        ("failing_since", time("Since when every attempt fails"), true),
        ("old_until", time("Until when the secret before the last rotation signs, too"), true),
        ("created_at", moment(), true),
        ("created_by", text("Who created it"), true),
        ("position", count("Up to where events were sent or wait here"), true),
        ("waiting", count("How many deliveries wait for another attempt"), true),
        ("parked", count("How many deliveries are parked"), true),
    ])
}

fn delivery() -> Value {
    object(&[
        ("feed", uuid(), true),
        ("position", count("The position of the event in the log"), true),
        ("event_id", uuid(), true),
        ("type", text("The type of the event"), true),
        ("attempts", count("How many attempts failed"), true),
        ("next_at", time("When it is tried next; null if it is parked"), true),
        ("error", text("The kind of the last failure"), true),
        ("status", json!({"type": ["integer", "null"]}), true),
        ("first_at", moment(), true),
        ("last_at", moment(), true),
        ("is_replay", boolean("Whether it is part of a replay"), true),
    ])
}

fn replay() -> Value {
    let types = json!({"type": ["array", "null"], "items": {"type": "string"}});
    object(&[
        ("id", uuid(), true),
        ("position", count("Up to where it has sent"), true),
        ("types", types, true),
        ("until", count("Its last position"), true),
        ("rate", count("Events per second, at most"), true),
        ("reason", text("Why it was asked for"), true),
        ("requested_by", text("Who asked for it"), true),
        ("requested_at", moment(), true),
        ("ended", perhaps("`done` or `cancelled`; null while it goes on"), true),
        ("ended_at", time("When it ended"), true),
    ])
}

fn made() -> Value {
    object(&[("id", uuid(), true), ("secret", text("The secret, as `whsec_` and base64"), true)])
}

#[cfg(test)]
mod tests;
