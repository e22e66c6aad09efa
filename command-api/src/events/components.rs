//! The schemas of an AsyncAPI document. It has each type once, for all events that use it.

use domain::aggregate::EventSchema;
use serde_json::{Map, Value, json};

/// Where the references of a schema begin.
const OWN: &str = "#/$defs/";
/// Where those of the document begin.
const SHARED: &str = "#/components/schemas/";

/// The schemas of a document, by name.
#[derive(Debug, Default)]
pub(super) struct Components(pub(super) Map<String, Value>);

impl Components {
    /// Adds the schema of an event version under its name, with the types that it uses.
    pub(super) fn add(&mut self, event: &EventSchema) {
        let mut schema = event.schema.clone();
        let Some(rules) = schema.as_object_mut() else { return };
        rules.remove("$schema");
        let types = match rules.remove("$defs") {
            Some(Value::Object(types)) => types,
            _ => Map::new(),
        };
        let shared = |name: &str| name.to_owned();
        let differs = types.iter().any(|(name, rules)| {
            self.0.get(name).is_some_and(|other| *other != moved(rules, &shared))
        });
        // A former version may mean something else by a name than later ones do.
        let own = |name: &str| format!("{}.{name}", event.name());
        let rename: &dyn Fn(&str) -> String = if differs { &own } else { &shared };
        for (name, rules) in &types {
            self.0.insert(rename(name), moved(rules, rename));
        }
        self.0.insert(event.name(), moved(&schema, rename));
    }
}

/// The schema with references to the types of the document.
///
/// What stands next to a reference counts in JSON Schema, and not in AsyncAPI. So such a reference
/// is put into `allOf`.
fn moved(schema: &Value, rename: &dyn Fn(&str) -> String) -> Value {
    match schema {
        Value::Object(rules) => {
            let mut made = Map::new();
            for (word, rule) in rules {
                let name = rule.as_str().filter(|_| word == "$ref");
                let name = name.and_then(|name| name.strip_prefix(OWN));
                let Some(name) = name else {
                    made.insert(word.clone(), moved(rule, rename));
                    continue;
                };
                let reference = format!("{SHARED}{}", rename(name));
                if rules.len() == 1 {
                    made.insert(word.clone(), reference.into());
                } else {
                    made.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
                }
            }
            Value::Object(made)
        }
        Value::Array(items) => items.iter().map(|item| moved(item, rename)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(version: i32, page: &str) -> EventSchema {
        let schema = json!({
            "properties": {"first": {"description": "The first.", "$ref": "#/$defs/Page"}},
            "$defs": {"Page": {"type": page}, "Pages": {"items": {"$ref": "#/$defs/Page"}}},
        });
        EventSchema { event_type: "letter.sent", version, schema }
    }

    #[test]
    fn events_share_their_types_and_one_that_differs_keeps_its_own() {
        let mut components = Components::default();
        for (version, page) in [(1, "string"), (2, "string"), (3, "integer")] {
            components.add(&event(version, page));
        }
        let first = |name: &str| {
            json!({"properties": {"first": {
                "description": "The first.",
                "allOf": [{"$ref": format!("#/components/schemas/{name}")}],
            }}})
        };
        let expected = json!({
            "Page": {"type": "string"},
            "Pages": {"items": {"$ref": "#/components/schemas/Page"}},
            "letter.sent.v1": first("Page"),
            "letter.sent.v2": first("Page"),
            "letter.sent.v3": first("letter.sent.v3.Page"),
            "letter.sent.v3.Page": {"type": "integer"},
            "letter.sent.v3.Pages": {
                "items": {"$ref": "#/components/schemas/letter.sent.v3.Page"},
            },
        });
        assert_eq!(Value::Object(components.0), expected);
    }
}
