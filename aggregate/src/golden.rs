//! Tests with golden files: one file per aggregate, `src/<aggregate>/golden/events.json`, with an
//! entry for each event version ever written, such as `letter.sent v1`.
//!
//! In each entry, `data` is a payload. For a version that is written today, the test reads the
//! payload and writes it back unchanged. The entry also has `shape`: the fields that the program
//! reads, as they were when the version was new. Another shape needs a new version. For a former
//! version, the entry needs `becomes`: the events that its upcaster, and those after it, make of
//! the payload. Its `shape` may stay. An entry is never taken out, and its `data` never changes.
//!
//! A domain's tests call [`Goldens`]. See `domain/src/golden.rs` for an example.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Aggregate, DomainEvent, Past, PayloadVisitor, Payloads, Shape};

mod entry;
mod shape;

use entry::{Became, Entries, Golden, name_of};

/// A field that no program knows. Every upcaster must keep it.
const UNKNOWN: &str = "a_field_that_nobody_knows";
/// The name of an aggregate's file of golden events.
const EVENTS: &str = "events.json";

/// The golden files of a domain, and the checks on them.
#[derive(Debug, Clone, Copy)]
pub struct Goldens {
    /// The folder that contains the domain's `Cargo.toml`.
    manifest: &'static str,
    /// The former shapes and their upcasters.
    past: &'static [Past],
}

/// The template for the payload of a former version.
const FORMER: &str = "    \"data\": <a payload as programs wrote it then>";

/// The template for the payload of a current version.
fn template<P: DeserializeOwned>() -> String {
    let fields: Vec<String> =
        shape::fields::<P>().iter().map(|name| format!("      \"{name}\": <a value>")).collect();
    format!("    \"data\": {{\n{}\n    }}", fields.join(",\n"))
}

impl Goldens {
    /// The golden files of a domain.
    ///
    /// `manifest` is the folder of its `Cargo.toml` (`env!("CARGO_MANIFEST_DIR")`), and `past` has
    /// the former shapes of its events.
    pub const fn new(manifest: &'static str, past: &'static [Past]) -> Self {
        Self { manifest, past }
    }

    /// Checks the rules that apply to all events together. `written` has the shapes that each
    /// aggregate writes today.
    ///
    /// - Every version has a golden entry, and there are no other entries and files.
    /// - Every former version has an upcaster, and its result matches the golden entry.
    /// - No two aggregates share a category.
    ///
    /// # Panics
    /// One of these rules is broken. The message says what to do.
    pub fn check_all(&self, written: &[&[Shape]]) {
        let current: Vec<Shape> = written.iter().copied().flatten().copied().collect();
        self.check_entries(&current);
        let missing = without_upcaster(&current, self.past);
        assert!(missing.is_empty(), "former versions without an upcaster: {missing:?}");
        self.check_upcasters();
        check_categories(written);
    }

    /// Checks the golden entries of an aggregate's events, and that the aggregate can read what
    /// former events have become.
    pub fn check_event<E: DomainEvent + Payloads>(&self) {
        // This comes first, because it knows the fields of a payload whose entry is missing.
        E::visit(self);
        for (event_type, version) in E::KNOWN {
            let data = self.read((event_type, *version), "").data;
            let event = E::from_parts(event_type, *version, &data.to_string())
                .expect("a known type")
                .expect("the payload is readable");
            assert_eq!((event.event_type(), event.schema_version()), (*event_type, *version));
            assert_eq!(
                serde_json::to_value(&event).unwrap(),
                data,
                "{event_type} v{version} is written back another way"
            );
            check_times::<E>((event_type, *version), data);
        }
        for (shape, ..) in self.past {
            for fragment in upcast(self.past, *shape, self.read(*shape, FORMER).data) {
                let read =
                    E::from_parts(&fragment.r#type, fragment.version, &fragment.data.to_string());
                assert!(
                    !matches!(read, Some(Err(_))),
                    "{shape:?} becomes {fragment:?}, which is not readable"
                );
            }
        }
    }

    /// Checks one payload type against its golden entry.
    fn check_shape<P: DeserializeOwned>(&self, shape: Shape) {
        let (golden, (event_type, version)) = (self.read(shape, &template::<P>()), shape);
        let found = shape::of::<P>(&golden.data);
        let what = if golden.shape.is_some() {
            "has another shape than when it was first written: give it the next version, and the \
                old one an upcaster. Its shape is now"
        } else {
            "is new. Its golden entry needs its shape, too"
        };
        assert!(
            golden.shape.as_ref() == Some(&found),
            "{event_type} v{version} {what} ({}):\n\"shape\": {}",
            self.file(event_type).display(),
            json!(found)
        );
    }

    /// Checks that a snapshot state is written as in `state.v<shape>.json`, next to the golden
    /// events.
    ///
    /// If the same events lead to another state, or the state has another shape, the number must
    /// change.
    pub fn check_kept<A: Aggregate + DeserializeOwned>(&self, state: &A) {
        let kept = A::SNAPSHOT.expect("the state is kept");
        let path = self.folder(A::Event::CATEGORY).join(format!("state.v{}.json", kept.shape));
        let written = (kept.write)(state).unwrap();
        let data: Value = serde_json::from_str(&written).unwrap();
        let found = Golden { shape: Some(shape::of::<A>(&data)), data, becomes: None };
        let what = if path.exists() { "raise the shape of what is kept, and" } else { "" };
        let golden: Option<Golden> =
            fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let same = golden.is_some_and(|golden| json!(golden) == json!(found));
        assert!(same, "{what} write {}:\n{:#}", path.display(), json!(found));
        assert_eq!((kept.write)(&(kept.read)(&written).unwrap()).unwrap(), written);
    }

    /// Checks that every version has its entry, and that there are no other entries and files.
    fn check_entries(&self, current: &[Shape]) {
        let shapes = current.iter().copied().chain(self.past.iter().map(|(shape, ..)| *shape));
        let expected: BTreeSet<(PathBuf, String)> =
            shapes.map(|shape| (self.file(shape.0), name_of(shape))).collect();
        let entries = |folder: &Path| {
            fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
        };
        let source = Path::new(self.manifest).join("src");
        let mut found = BTreeSet::new();
        for file in entries(&source).flat_map(|folder| entries(&folder.join("golden"))) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name == EVENTS {
                let names = Entries::read(&file).0.into_keys();
                found.extend(names.map(|name| (file.clone(), name)));
            } else if !name.starts_with("state.") {
                found.insert((file.clone(), "a file of another name".to_owned()));
            }
        }
        let missing: Vec<_> = expected.difference(&found).collect();
        let unknown: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "golden entries that are missing: {missing:?}; that belong to no version in the lists \
                of `stored_events!` and of `history::PAST`: {unknown:?}"
        );
    }

    /// Checks that the upcasters turn each former payload into what its golden entry says, and keep
    /// unknown fields.
    fn check_upcasters(&self) {
        for (shape, ..) in self.past {
            let golden = self.read(*shape, FORMER);
            let found = upcast(self.past, *shape, golden.data.clone());
            assert_eq!(
                golden.becomes.as_ref(),
                Some(&found),
                "{shape:?} ({}):\n\"becomes\": {}",
                self.file(shape.0).display(),
                json!(found)
            );
            let mut more = golden.data;
            more.as_object_mut()
                .expect("payloads are objects")
                .insert(UNKNOWN.to_owned(), json!(1));
            let kept = upcast(self.past, *shape, more)
                .iter()
                .any(|fragment| fragment.data.get(UNKNOWN).is_some());
            assert!(
                kept || found.is_empty(),
                "{shape:?} loses a field that its upcaster does not know"
            );
        }
    }

    /// The folder of the golden files for an event type, or for a category alone.
    fn folder(&self, event_type: &str) -> PathBuf {
        let category = event_type.split('.').next().unwrap();
        Path::new(self.manifest).join("src").join(category).join("golden")
    }

    /// The file with the golden events of an event type's aggregate.
    fn file(&self, event_type: &str) -> PathBuf {
        self.folder(event_type).join(EVENTS)
    }

    /// Reads the golden entry of a shape. If there is none, the test fails and prints `template`.
    fn read(&self, shape: Shape, template: &str) -> Golden {
        let (path, name) = (self.file(shape.0), name_of(shape));
        Entries::read(&path).0.remove(&name).unwrap_or_else(|| {
            let path = path.display();
            panic!(
                "{name} has no golden entry. Write it into {path}, next to the others:\n\
                    {{\n  \"{name}\": {{\n{template}\n  }}\n}}\n\
                    This test then prints what else belongs there (`shape` or `becomes`)."
            )
        })
    }
}

/// Checks that an aggregate reads times no more precisely than a column stores them.
fn check_times<E: DomainEvent>((event_type, version): Shape, mut data: Value) {
    replace_times(&mut data, "1998-12-31T23:59:60.9000009Z");
    let event = E::from_parts(event_type, version, &data.to_string()).unwrap().unwrap();
    let read = serde_json::to_value(&event).unwrap();
    replace_times(&mut data, "1999-01-01T00:00:00.900Z");
    assert_eq!(
        normal(read),
        normal(data),
        "{event_type} v{version}: read its times as whole microseconds, without leap seconds"
    );
}

fn replace_times(value: &mut Value, time: &str) {
    match value {
        Value::String(text) if text.parse::<DateTime<Utc>>().is_ok() => time.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_times(item, time)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_times(field, time)),
        _ => {}
    }
}

/// The same JSON with all times in one notation.
fn normal(mut value: Value) -> Value {
    match &mut value {
        Value::String(text) => {
            if let Ok(at) = text.parse::<DateTime<Utc>>() {
                *text = at.to_rfc3339();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = normal(item.take())),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| *field = normal(field.take()));
        }
        _ => {}
    }
    value
}

impl PayloadVisitor for Goldens {
    fn payload<P: DeserializeOwned + JsonSchema>(&self, shape: Shape) {
        self.check_shape::<P>(shape);
    }
}

/// The final events that the upcasters make of a payload.
fn upcast(past: &[Past], (event_type, version): Shape, data: Value) -> Vec<Became> {
    let Some((_, into, upcast_once)) =
        past.iter().find(|(shape, ..)| *shape == (event_type, version))
    else {
        return vec![Became { r#type: event_type.to_owned(), version, data }];
    };
    let declared = |name: &str| {
        into.iter()
            .find(|(declared, _)| *declared == name)
            .expect("an upcaster makes what it declares")
    };
    let fragments = upcast_once(data).unwrap().into_iter();
    fragments.flat_map(|(name, data)| upcast(past, *declared(name), data)).collect()
}

/// Checks that no two aggregates share a category.
fn check_categories(written: &[&[Shape]]) {
    let categories: Vec<&str> =
        written.iter().map(|known| known[0].0.split('.').next().unwrap()).collect();
    let different: BTreeSet<&str> = categories.iter().copied().collect();
    assert_eq!(different.len(), categories.len(), "{categories:?}");
}

/// The versions below a type's newest that have no upcaster.
fn without_upcaster(current: &[Shape], past: &[Past]) -> Vec<(String, i32)> {
    let newest = |name: &str| {
        past.iter()
            .filter(|(shape, ..)| shape.0 == name)
            .map(|(shape, ..)| shape.1)
            .max()
            .unwrap_or(0)
    };
    let names: BTreeSet<&str> =
        current.iter().chain(past.iter().map(|(shape, ..)| shape)).map(|shape| shape.0).collect();
    let versions = names.into_iter().flat_map(|name| {
        let written = current.iter().find(|shape| shape.0 == name).map_or(0, |shape| shape.1 - 1);
        (1..=written.max(newest(name))).map(move |version| (name, version))
    });
    let missing = versions
        .filter(|(name, version)| !past.iter().any(|(shape, ..)| shape == &(*name, *version)));
    missing.map(|(name, version)| (name.to_owned(), version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_golden_entry_is_named_with_its_path_and_what_to_write() {
        #[derive(serde::Deserialize)]
        #[allow(dead_code, reason = "read only")]
        struct Sent {
            letter_id: uuid::Uuid,
            pages: u8,
        }
        let goldens = Goldens::new("post", &[]);
        let missing = std::panic::catch_unwind(|| goldens.check_shape::<Sent>(("letter.sent", 3)));
        let said = *missing.unwrap_err().downcast::<String>().unwrap();
        let path = "post/src/letter/golden/events.json";
        let entry = "\"letter.sent v3\": {\n    \"data\": {\n      \"letter_id\": <a value>,\n";
        assert!(said.contains(path) && said.contains(entry), "{said}");
    }

    #[test]
    fn a_former_version_without_an_upcaster_is_found() {
        let past: &[Past] =
            &[(("letter.sent", 1), &[("letter.sent", 2)], |data| Ok(vec![("letter.sent", data)]))];
        assert_eq!(without_upcaster(&[("letter.sent", 2)], past), []);
        assert_eq!(
            without_upcaster(&[("letter.sent", 4)], past),
            [("letter.sent".to_owned(), 2), ("letter.sent".to_owned(), 3)]
        );
    }

    #[test]
    fn a_category_of_two_aggregates_is_found() {
        check_categories(&[&[("letter.sent", 1)], &[("parcel.sent", 1)]]);
        let shared = [&[("letter.sent", 1)][..], &[("letter.lost", 1)]];
        assert!(std::panic::catch_unwind(|| check_categories(&shared)).is_err());
    }
}
