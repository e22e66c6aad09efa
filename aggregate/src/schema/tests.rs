//! Tests of the schemas that are generated from payload types.

#![allow(dead_code, unreachable_pub, reason = "a domain lists its events at its root, for all")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{EventSchema, stored_events};

/// An event of a letter.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum LetterEvent {
    /// `letter.sent` v2: the letter left.
    Sent(LetterSent),
    /// `letter.lost`: nobody knows where the letter is.
    Lost(LetterLost),
}

stored_events!(LetterEvent {
    Sent(LetterSent) => "letter.sent", 2;
    Lost(LetterLost) => "letter.lost", 1;
});

/// The payload of `letter.sent` v2. It cannot be called back.
#[derive(Serialize, Deserialize, JsonSchema)]
struct LetterSent {
    /// The letter's id.
    letter_id: Uuid,
    /// The number of pages, or `None` if nobody counted.
    pages: Option<u32>,
    /// The class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
}

/// The class of a letter.
///
/// The program has no others.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Class {
    /// The letter travels first.
    First,
    /// The letter travels when there is room.
    Second,
}

/// The payload of `letter.lost` v1.
#[derive(Serialize, Deserialize, JsonSchema)]
struct LetterLost {
    /// The letter's id.
    letter_id: Uuid,
}

impl LetterEvent {
    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let (Self::Sent(LetterSent { letter_id, .. }) | Self::Lost(LetterLost { letter_id })) =
            self;
        vec![("letter", *letter_id)]
    }
}

crate::events_of_all_aggregates! { LetterEvent, }

#[test]
fn a_schema_says_what_is_written_in_the_words_of_the_code() {
    let schemas = written_schemas();
    let names: Vec<String> = schemas.iter().map(EventSchema::name).collect();
    assert_eq!(names, ["letter.sent.v2", "letter.lost.v1"]);
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "letter.sent v2",
        "description": "The letter left. It cannot be called back.",
        "type": "object",
        "properties": {
            "letter_id": {
                "description": "The letter's id.", "type": "string", "format": "uuid",
            },
            "pages": {
                "description": "The number of pages, or `null` if nobody counted.",
                "type": ["integer", "null"],
                "minimum": 0,
            },
            "class": {
                "description": "The class.",
                "anyOf": [{"$ref": "#/$defs/Class"}, {"type": "null"}],
            },
        },
        "required": ["letter_id", "pages"],
        "$defs": {"Class": {
            "description": "The class of a letter.",
            "oneOf": [
                {
                    "description": "The letter travels first.",
                    "type": "string",
                    "const": "first",
                },
                {
                    "description": "The letter travels when there is room.",
                    "type": "string",
                    "const": "second",
                },
            ],
        }},
    });
    assert_eq!(schemas[0].schema, expected, "{:#}", schemas[0].schema);
    assert_eq!(schemas[1].schema["description"], "Nobody knows where the letter is.");
}
