//! Golden files: one JSON payload per event version, which every later program must still read, and write back the same.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::aggregate::DomainEvent;

/// Checks `src/<aggregate>/golden/<type>.v<version>.json` against `E::KNOWN`, both ways.
pub(crate) fn check<E: DomainEvent>(aggregate: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(aggregate).join("golden");
    let mut expected = BTreeSet::new();
    for (event_type, version) in E::KNOWN {
        let name = format!("{event_type}.v{version}.json");
        let text = fs::read_to_string(folder.join(&name))
            .unwrap_or_else(|error| panic!("{event_type} v{version} has no golden file {name}: {error}"));
        let event = E::from_parts(event_type, *version, &text).expect("a known type").expect("the golden payload is readable");
        assert_eq!((event.event_type(), event.schema_version()), (*event_type, *version), "{name}");
        let golden: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), golden, "{name} is written back another way than it was read");
        expected.insert(name);
    }
    let found = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(expected, found, "golden files and known events differ");
}
