//! The JSON Schema (2020-12) of each event version, generated from its payload type.
//!
//! It describes what is written, for readers that do not know the program. Its words are the doc
//! comments: that of the event's variant, and those of the fields. [`kept`] compares the schemas
//! with those that were published, so that no change breaks a reader.

use std::cell::RefCell;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{DomainEvent, PayloadVisitor, Payloads, Shape};

mod changes;
pub mod kept;
mod normal;
mod words;

/// The schema of one version of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSchema {
    /// The event's type, such as `order.placed`.
    pub event_type: &'static str,
    /// The version of the payload's shape.
    pub version: i32,
    /// The JSON Schema of the payload.
    pub schema: Value,
}

impl EventSchema {
    /// The version's name, such as `order.placed.v1`.
    pub fn name(&self) -> String {
        name_of((self.event_type, self.version))
    }
}

/// The name of a version, such as `order.placed.v1`.
pub(crate) fn name_of((event_type, version): Shape) -> String {
    format!("{event_type}.v{version}")
}

/// The schemas of the versions that an aggregate writes today.
pub fn of<E: DomainEvent + Payloads + JsonSchema>() -> Vec<EventSchema> {
    let seen = Seen { variants: generated::<E>(), found: RefCell::default() };
    E::visit(&seen);
    seen.found.into_inner()
}

fn settings() -> SchemaSettings {
    let rewritten = RecursiveTransform(words::rewrite);
    SchemaSettings::draft2020_12().for_serialize().with_transform(rewritten)
}

fn generated<T: JsonSchema>() -> Value {
    settings().into_generator().into_root_schema_for::<T>().into()
}

/// Collects the schemas of the payloads that it is shown.
struct Seen {
    /// The schema of the event enum, which has the doc comments of its variants.
    variants: Value,
    found: RefCell<Vec<EventSchema>>,
}

impl Seen {
    /// The doc comment of the variant with this payload type.
    fn variant<P: JsonSchema>(&self) -> Option<&str> {
        let payload = format!("#/$defs/{}", P::schema_name());
        let mut variants = self.variants["anyOf"].as_array()?.iter();
        variants.find(|variant| variant["$ref"] == payload)?["description"].as_str()
    }
}

impl PayloadVisitor for Seen {
    fn payload<P: DeserializeOwned + JsonSchema>(&self, (event_type, version): Shape) {
        let mut schema = generated::<P>();
        let fields = schema.as_object_mut().map(std::mem::take).unwrap_or_default();
        let own = fields.get("description").and_then(Value::as_str);
        let description = words::of_event(event_type, self.variant::<P>(), own);
        let mut described = Map::from_iter([
            ("title".to_owned(), format!("{event_type} v{version}").into()),
            ("description".to_owned(), description.into()),
        ]);
        for (name, value) in fields {
            described.entry(name).or_insert(value);
        }
        let schema = Value::Object(described);
        self.found.borrow_mut().push(EventSchema { event_type, version, schema });
    }
}

#[cfg(test)]
mod tests;
