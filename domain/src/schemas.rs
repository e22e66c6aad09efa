//! The JSON Schema of every event version that the log may hold.
//!
//! Those of today are generated from the payload types. Those of former versions are the ones that
//! were kept in `schemas/` when they were of today: the log and its copies still have such events.

use aggregate::EventSchema;

use crate::history;

/// The kept schemas, by name.
const KEPT: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kept_schemas.rs"));

/// The schemas of all versions, sorted by type and version.
pub fn all() -> Vec<EventSchema> {
    let mut all = crate::written_schemas();
    // A test sees that none is missing.
    all.extend(history::PAST.iter().filter_map(|((event_type, version), ..)| {
        let name = format!("{event_type}.v{version}");
        let (_, text) = KEPT.iter().find(|(kept, _)| *kept == name)?;
        let schema = serde_json::from_str(text).ok()?;
        Some(EventSchema { event_type, version: *version, schema })
    }));
    all.sort_by_key(|schema| (schema.event_type, schema.version));
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn no_change_of_an_event_breaks_its_readers() {
        let written = crate::written_schemas();
        aggregate::schema::kept::check(env!("CARGO_MANIFEST_DIR"), &written, history::PAST);
    }

    #[test]
    fn every_version_ever_written_has_a_schema() {
        let all: BTreeSet<(&str, i32)> =
            all().iter().map(|schema| (schema.event_type, schema.version)).collect();
        let former = history::PAST.iter().map(|(shape, ..)| *shape);
        assert_eq!(all, history::current().chain(former).collect());
    }

    #[test]
    fn every_event_and_field_is_described_in_words_for_readers_elsewhere() {
        let mut wrong = Vec::new();
        for schema in crate::written_schemas() {
            look(&schema.schema, &schema.name(), true, &mut wrong);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Finds fields and types without a description, and words of Rust in one.
    fn look(schema: &Value, at: &str, is_named: bool, wrong: &mut Vec<String>) {
        let Value::Object(rules) = schema else { return };
        let text = schema["description"].as_str().unwrap_or_default();
        if is_named && text.is_empty() {
            wrong.push(format!("{at} has no description"));
        }
        if ["[`", "`]", "::", "`None`", "The payload of"].iter().any(|word| text.contains(word)) {
            wrong.push(format!("{at}: {text}"));
        }
        for (word, rule) in rules {
            let at = format!("{at}/{word}");
            match (word.as_str(), rule) {
                ("properties" | "$defs", Value::Object(fields)) => {
                    // The field of a variant is described where the variant is.
                    let is_variant = !is_named && !text.is_empty();
                    for (name, field) in fields {
                        look(field, &format!("{at}/{name}"), !is_variant, wrong);
                    }
                }
                ("oneOf" | "anyOf", Value::Array(kinds)) => {
                    for kind in kinds {
                        look(kind, &at, false, wrong);
                    }
                }
                ("items", rule) => look(rule, &at, false, wrong),
                _ => {}
            }
        }
    }
}
