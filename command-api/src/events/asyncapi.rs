//! The AsyncAPI document. It describes a program that receives the events.

use std::collections::BTreeMap;

use domain::aggregate::EventSchema;
use event_feed::message::{STREAM, header_schema, subject_of};
use serde_json::{Map, Value, json};

use super::components::Components;

/// The version of AsyncAPI.
const VERSION: &str = "3.0.0";
/// The name of the schema of the headers.
const HEADERS: &str = "CloudEventHeaders";
const DESCRIPTION: &str = "Every event of the log is published to NATS JetStream, in order and \
    once: the sequence number in the stream is the position in the log. A message is a CloudEvent \
    in binary mode: attributes as headers, data as payload. Its subject is `events.` and the \
    type.\n\nA version of an event never changes in a way that breaks readers, apart from new \
    fields that may be absent: ignore fields that you do not know. Another shape is another \
    version, on the same subject: `ce-schemaversion` says which. Old versions stay in the stream.\
    \n\nPersonal values are encrypted. When `subject.erased` names a person, delete what you hold \
    of them.";

/// The AsyncAPI document of all event versions.
pub fn asyncapi() -> Value {
    let schemas = super::schemas();
    let mut components = Components::default();
    components.0.insert(HEADERS.to_owned(), header_schema());
    let mut types: BTreeMap<&str, Vec<&EventSchema>> = BTreeMap::new();
    for schema in &schemas {
        components.add(schema);
        types.entry(schema.event_type).or_default().push(schema);
    }
    let messages: Map<String, Value> =
        schemas.iter().map(|schema| (schema.name(), message(schema))).collect();
    let channels = types.iter().map(|(name, versions)| ((*name).to_owned(), channel(versions)));
    let operations =
        types.iter().map(|(name, versions)| (format!("receive.{name}"), operation(versions)));
    json!({
        "asyncapi": VERSION,
        "id": "urn:daybook:events",
        "info": {
            "title": "Daybook events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0"},
            "tags": tags(&types),
        },
        "defaultContentType": "application/json",
        "servers": {"nats": server()},
        "channels": channels.collect::<Map<_, _>>(),
        "operations": operations.collect::<Map<_, _>>(),
        "components": {"messages": messages, "schemas": components.0},
    })
}

fn server() -> Value {
    json!({
        "host": "{host}:{port}",
        "protocol": "nats",
        "description": format!("The NATS server. The JetStream stream is called `{STREAM}`."),
        "variables": {
            "host": {"default": "localhost", "description": "The address of the server."},
            "port": {"default": "4222", "description": "The port for clients."},
        },
    })
}

/// The categories of all types.
fn tags(types: &BTreeMap<&str, Vec<&EventSchema>>) -> Value {
    let mut categories: Vec<&str> = types.keys().map(|name| category(name)).collect();
    categories.dedup();
    let tag = |name: &str| {
        let description = format!("The events of the category `{name}`.");
        json!({"name": name, "description": description})
    };
    categories.into_iter().map(tag).collect()
}

fn category(event_type: &str) -> &str {
    event_type.split('.').next().unwrap_or_default()
}

fn channel(versions: &[&EventSchema]) -> Value {
    let (name, description) = newest(versions);
    let messages = versions.iter().map(|version| {
        let name = version.name();
        let reference = format!("#/components/messages/{name}");
        (name, json!({ "$ref": reference }))
    });
    json!({
        "address": subject_of(name),
        "title": name,
        "description": description,
        "messages": messages.collect::<Map<_, _>>(),
        "tags": [{"name": category(name)}],
    })
}

fn operation(versions: &[&EventSchema]) -> Value {
    let (name, description) = newest(versions);
    let message = |version: &&EventSchema| {
        let reference = format!("#/channels/{name}/messages/{}", version.name());
        json!({ "$ref": reference })
    };
    json!({
        "action": "receive",
        "channel": {"$ref": format!("#/channels/{name}")},
        "title": format!("Receive {name}"),
        "summary": description,
        "messages": versions.iter().map(message).collect::<Vec<_>>(),
    })
}

/// The type of these versions, and the description of the newest one.
fn newest<'s>(versions: &[&'s EventSchema]) -> (&'s str, &'s str) {
    versions.last().map_or(("", ""), |newest| (newest.event_type, description(newest)))
}

fn description(schema: &EventSchema) -> &str {
    schema.schema["description"].as_str().unwrap_or_default()
}

fn message(schema: &EventSchema) -> Value {
    let EventSchema { event_type, version, .. } = schema;
    json!({
        "name": event_type,
        "title": format!("{event_type} v{version}"),
        "summary": description(schema),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": format!("#/components/schemas/{HEADERS}")},
                {"properties": {
                    "ce-type": {"type": "string", "const": event_type},
                    "ce-schemaversion": {"type": "string", "const": version.to_string()},
                }},
            ],
        },
        "payload": {"$ref": format!("#/components/schemas/{}", schema.name())},
        "tags": [{"name": category(event_type)}],
    })
}
