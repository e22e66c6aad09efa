//! What other systems need to read the events of the log: the JSON Schema of each event version,
//! and an AsyncAPI document of the subjects on which they are published.

use std::collections::BTreeMap;

use domain::aggregate::EventSchema;
use event_store::subject::{SUBJECT_ERASED, SUBJECT_ERASED_VERSION, subject_erased_schema};
use serde_json::Value;

mod asyncapi;
mod components;

pub use asyncapi::asyncapi;

/// The schemas of all event versions that the log may hold, sorted by type and version.
pub fn schemas() -> Vec<EventSchema> {
    let mut all = domain::schemas::all();
    all.extend(saga::event::written_schemas());
    all.push(EventSchema {
        event_type: SUBJECT_ERASED,
        version: SUBJECT_ERASED_VERSION,
        schema: subject_erased_schema(),
    });
    all.sort_by_key(|schema| (schema.event_type, schema.version));
    all
}

/// The schemas by `type/version`, of one type or of all.
///
/// # Errors
/// [`cli_kit::Usage`] if there is no such type. It lists those that there are.
pub fn by_name(only: Option<&str>) -> Result<BTreeMap<String, Value>, cli_kit::Usage> {
    let all = schemas();
    let wanted = |schema: &&EventSchema| only.is_none_or(|only| schema.event_type == only);
    let found: BTreeMap<String, Value> = all.iter().filter(wanted).map(named).collect();
    match only {
        Some(only) if found.is_empty() => {
            let mut types: Vec<&str> = all.iter().map(|schema| schema.event_type).collect();
            types.dedup();
            let types = types.join(", ");
            Err(cli_kit::Usage(format!("there is no event type {only:?}, but there are {types}")))
        }
        _ => Ok(found),
    }
}

fn named(schema: &EventSchema) -> (String, Value) {
    let EventSchema { event_type, version, schema } = schema;
    (format!("{event_type}/{version}"), schema.clone())
}
