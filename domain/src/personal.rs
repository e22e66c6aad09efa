//! Personal data inside events. It is marked when it is created, so it can be encrypted per person
//! and erased completely.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A value that belongs to a person. It is either present or erased.
///
/// Projections never compare, count or index it. Its JSON is `{"$subject": "<person's id>",
/// "$personal": <value or null>}`, which a store can recognise without knowing the event.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal<T> {
    /// The subject: the person that the data belongs to.
    #[serde(rename = "$subject")]
    subject: Uuid,
    /// The value, or `None` after it was erased.
    #[serde(rename = "$personal")]
    value: Option<T>,
}

impl<T> Personal<T> {
    /// Marks `value` as belonging to `subject`.
    pub const fn new(subject: Uuid, value: T) -> Self {
        Self { subject, value: Some(value) }
    }

    /// The id of the person that the value belongs to.
    pub const fn subject(&self) -> Uuid {
        self.subject
    }

    /// The value, or `None` after it was erased.
    pub const fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Takes the value out, or returns `None` after it was erased.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

/// The two forms that a reader may meet: encrypted, and readable or erased. The program itself only
/// has the second one.
impl<T: JsonSchema> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Personal{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (subject, value) =
            (generator.subschema_for::<Uuid>(), generator.subschema_for::<Option<T>>());
        json_schema!({
            "description": "A value that belongs to a person. It is encrypted outside the shop, \
                and readable with the person's key.",
            "oneOf": [
                {
                    "title": format!("Encrypted{}", T::schema_name()),
                    "description": "The encrypted value. Nobody can read it once the person is \
                        erased.",
                    "type": "object",
                    "properties": {
                        "$subject": described(subject.clone(), "The person's id."),
                        "$sealed": {
                            "description": "The encrypted value, as base64url without padding.",
                            "type": "string",
                            "pattern": "^[A-Za-z0-9_-]+$",
                        },
                    },
                    "required": ["$subject", "$sealed"],
                    "additionalProperties": false,
                },
                {
                    "title": format!("Readable{}", T::schema_name()),
                    "description": "The value, for a reader that has the keys.",
                    "type": "object",
                    "properties": {
                        "$subject": described(subject, "The person's id."),
                        "$personal": described(
                            value,
                            "The value, or `null` once the person is erased.",
                        ),
                    },
                    "required": ["$subject", "$personal"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

fn described(mut schema: Schema, description: &str) -> Schema {
    schema.insert("description".to_owned(), description.into());
    schema
}

impl<T> std::fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.value.is_some() { "Personal(..)" } else { "Personal(erased)" })
    }
}
