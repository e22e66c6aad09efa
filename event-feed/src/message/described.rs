//! The headers of a message, described for readers in other languages.

use serde_json::{Map, Value, json};

use super::{STUB, STUB_REASON, TRACEPARENT, header};
use crate::cloud_event::Attribute;

/// The JSON Schema of the headers that [`encode`](super::encode) writes.
///
/// JetStream adds headers of its own, which begin with `Nats-`.
pub fn header_schema() -> Value {
    let all = Attribute::IDENTIFYING.iter().chain(&Attribute::LABELS);
    let mut headers: Map<String, Value> =
        all.map(|attribute| (header(*attribute).to_string(), described(*attribute))).collect();
    headers.insert(
        TRACEPARENT.to_string(),
        json!({"type": "string", "description": "The same as `ce-traceparent`."}),
    );
    headers.insert(
        STUB.to_string(),
        json!({
            "type": "string",
            "const": STUB_REASON,
            "description": "The event is too large for the broker, so the payload is empty and the \
                headers that may be absent are. Read the event from the store by its position.",
        }),
    );
    let required = Attribute::IDENTIFYING.map(|attribute| header(attribute).to_string());
    json!({
        "description": "The attributes of the event, in the binary mode of CloudEvents 1.0.",
        "type": "object",
        "properties": headers,
        "required": required,
    })
}

fn described(attribute: Attribute) -> Value {
    const NUMBER: &str = "^[1-9][0-9]*$";
    let (description, rule) = match attribute {
        Attribute::SpecVersion => ("The version of CloudEvents.", ("const", "1.0")),
        Attribute::Id => ("The event's id, a UUID of version 7.", ("format", "uuid")),
        Attribute::Source => (
            "The history that the event belongs to: `urn:uuid:` and the epoch.",
            ("pattern", "^urn:uuid:[0-9a-f-]{36}$"),
        ),
        Attribute::Type => ("The event type.", ("pattern", "^[a-z][a-z0-9_]*\\.[a-z][a-z0-9_]*$")),
        Attribute::Subject => (
            "The stream of the event: its category, a hyphen and an id.",
            ("pattern", "^[a-z][a-z0-9_]*-.+$"),
        ),
        Attribute::Time => ("The time when the event was recorded.", ("format", "date-time")),
        Attribute::DataContentType => {
            ("The content type of the payload.", ("const", "application/json"))
        }
        Attribute::Epoch => (
            "The epoch. It changes when the history does, as after the restore of a backup.",
            ("format", "uuid"),
        ),
        Attribute::Position => (
            "The position in the log, and the sequence number in the JetStream stream. With the \
                epoch it identifies the event for ever.",
            ("pattern", NUMBER),
        ),
        Attribute::StreamVersion => ("The version in the stream.", ("pattern", NUMBER)),
        Attribute::SchemaVersion => ("The version of the payload's schema.", ("pattern", NUMBER)),
        Attribute::Tags => (
            "What the event is about: `<key>:<id>`, with a blank between two.",
            ("pattern", "^\\S+( \\S+)*$"),
        ),
        Attribute::CorrelationId => {
            ("The business flow that the event belongs to.", ("format", "uuid"))
        }
        Attribute::CausationId => {
            ("The command or event that caused this one.", ("format", "uuid"))
        }
        Attribute::Actor => ("Who acted, percent-encoded.", ("type", "string")),
        Attribute::CredentialId => ("The session or key of the actor.", ("format", "uuid")),
        Attribute::ClientId => {
            ("The client that acted for the actor, percent-encoded.", ("type", "string"))
        }
        Attribute::Traceparent => {
            ("The W3C trace context of the command, percent-encoded.", ("type", "string"))
        }
    };
    let (keyword, value) = rule;
    let mut described = json!({"type": "string", "description": description});
    described[keyword] = value.into();
    described
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use event_store::Epoch;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::cloud_event::tests::event;
    use crate::message::encode;

    proptest! {
        #[test]
        fn every_header_is_described_and_the_required_ones_are_always_there(
            event in event(), is_stub in any::<bool>(),
        ) {
            let schema = header_schema();
            let most = if is_stub { 0 } else { 1024 * 1024 };
            let encoded = encode(&event, Epoch(Uuid::nil()), most);
            let headers: BTreeSet<String> =
                encoded.headers.iter().map(|(name, _)| name.to_string()).collect();
            for name in &headers {
                prop_assert!(schema["properties"][name]["description"].is_string(), "{name}");
            }
            for name in schema["required"].as_array().unwrap() {
                prop_assert!(headers.contains(name.as_str().unwrap()), "{name}");
            }
        }
    }
}
