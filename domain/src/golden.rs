//! Golden files: one per event version ever written,
//! `src/<aggregate>/golden/<type>.v<version>.json`.
//!
//! `data` is a payload. For a version that is written today it must be read and written back the
//! same, and `shape`, what the program asks of it, must be what it was at first: another shape
//! needs another version. For a former version `becomes` lists what its upcaster, and those after
//! it, make of the payload.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aggregate::{Aggregate, DomainEvent};
use crate::history::{self, Past, Shape};

mod shape;

/// A field that no program knows: it must survive every upcaster.
const UNKNOWN: &str = "a_field_that_nobody_knows";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    data: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    becomes: Option<Vec<Became>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Became {
    r#type: String,
    version: i32,
    data: Value,
}

/// Of a type, or of the category before its dot.
fn folder(event_type: &str) -> PathBuf {
    let category = event_type.split('.').next().unwrap();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(category).join("golden")
}

fn path((event_type, version): Shape) -> PathBuf {
    folder(event_type).join(format!("{event_type}.v{version}.json"))
}

/// What to write into the golden file of a former version that has none.
const FORMER: &str = "{\n  \"data\": <a payload as programs wrote it then>\n}\n\
    This test then prints the `becomes` that belongs there, too.";

/// The golden file of a shape; the test ends with `template` when there is none.
fn read(shape: Shape, template: &str) -> Golden {
    let path = path(shape);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        let ((event_type, version), path) = (shape, path.display());
        panic!("{event_type} v{version} has no golden file ({error}). Write {path}:\n{template}")
    });
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What to write into the golden file of a version that is written today and has none.
fn template<P: DeserializeOwned>() -> String {
    let fields: Vec<String> =
        shape::fields::<P>().iter().map(|name| format!("    \"{name}\": <a value>")).collect();
    format!(
        "{{\n  \"data\": {{\n{}\n  }}\n}}\n\
            This test then prints the `shape` that belongs there, too.",
        fields.join(",\n")
    )
}

/// Checks the golden files of an aggregate's events, and that it reads what former events have
/// become.
pub(crate) fn check<E: DomainEvent + Shaped>() {
    // First: it knows the fields of a payload whose file is missing.
    E::check_shapes();
    for (event_type, version) in E::KNOWN {
        let data = read((event_type, *version), "").data;
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
    for (shape, ..) in history::PAST {
        for fragment in upcast(history::PAST, *shape, read(*shape, FORMER).data) {
            let read =
                E::from_parts(&fragment.r#type, fragment.version, &fragment.data.to_string());
            assert!(
                !matches!(read, Some(Err(_))),
                "{shape:?} becomes {fragment:?}, which is not readable"
            );
        }
    }
}

/// Checks that no time of an event reaches a fold as more than a column keeps.
fn check_times<E: DomainEvent>((event_type, version): Shape, mut data: Value) {
    replace_times(&mut data, "1998-12-31T23:59:60.9000009Z");
    let event = E::from_parts(event_type, version, &data.to_string()).unwrap().unwrap();
    let read = serde_json::to_value(&event).unwrap();
    replace_times(&mut data, "1999-01-01T00:00:00.900Z");
    assert_eq!(
        normal(read),
        normal(data),
        "{event_type} v{version}: read its times with value::time::read"
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

/// Times in one notation.
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

/// An aggregate's events, each with the type of its payload.
pub(crate) trait Shaped {
    /// Checks that each payload still has the shape in which its version was first written.
    fn check_shapes();
}

/// Checks one payload type.
pub(crate) fn check_shape<P: DeserializeOwned>(shape: Shape) {
    let (golden, (event_type, version)) = (read(shape, &template::<P>()), shape);
    let found = shape::of::<P>(&golden.data);
    let what = if golden.shape.is_some() {
        "has another shape than when it was first written: give it the next version, and the old \
            one an upcaster. Its shape is now"
    } else {
        "is new. Its golden file needs its shape, too"
    };
    assert!(
        golden.shape.as_ref() == Some(&found),
        "{event_type} v{version} {what} ({}):\n\"shape\": {}",
        path(shape).display(),
        json!(found)
    );
}

/// Checks that a state that is kept is still written as it was, in `state.v<shape>.json` beside the
/// golden events: another fold of the same events, or another shape, needs another number.
pub(crate) fn check_kept<A: Aggregate + DeserializeOwned>(state: &A) {
    let kept = A::SNAPSHOT.expect("the state is kept");
    let path = folder(A::Event::CATEGORY).join(format!("state.v{}.json", kept.shape));
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

/// What the upcasters make of a payload in the end.
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

#[test]
fn every_event_has_its_golden_file_and_the_shape_that_it_was_first_written_in() {
    crate::check_golden_files();
}

#[test]
fn a_missing_golden_file_is_named_with_its_path_and_what_to_write() {
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "read only")]
    struct Sent {
        letter_id: uuid::Uuid,
        pages: u8,
    }
    let missing = std::panic::catch_unwind(|| check_shape::<Sent>(("letter.sent", 3)));
    let said = *missing.unwrap_err().downcast::<String>().unwrap();
    let path = "domain/src/letter/golden/letter.sent.v3.json";
    let data = "\"data\": {\n    \"letter_id\": <a value>,\n    \"pages\": <a value>\n  }";
    assert!(said.contains(path) && said.contains(data), "{said}");
}

#[test]
fn no_two_aggregates_share_a_category() {
    let categories: Vec<&str> =
        crate::EVENTS.iter().map(|known| known[0].0.split('.').next().unwrap()).collect();
    let different: BTreeSet<&str> = categories.iter().copied().collect();
    assert_eq!(different.len(), categories.len(), "{categories:?}");
}

#[test]
fn every_former_version_becomes_what_its_golden_file_says_and_keeps_unknown_fields() {
    for (shape, ..) in history::PAST {
        let golden = read(*shape, FORMER);
        let found = upcast(history::PAST, *shape, golden.data.clone());
        assert_eq!(
            golden.becomes.as_ref(),
            Some(&found),
            "{shape:?} ({}):\n\"becomes\": {}",
            path(*shape).display(),
            json!(found)
        );
        let mut more = golden.data;
        more.as_object_mut().expect("payloads are objects").insert(UNKNOWN.to_owned(), json!(1));
        let kept = upcast(history::PAST, *shape, more)
            .iter()
            .any(|fragment| fragment.data.get(UNKNOWN).is_some());
        assert!(
            kept || found.is_empty(),
            "{shape:?} loses a field that its upcaster does not know"
        );
    }
}

/// The versions below a type's newest that nothing says how to read.
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

#[test]
fn every_former_version_has_an_upcaster() {
    let current: Vec<Shape> = history::current().collect();
    assert_eq!(without_upcaster(&current, history::PAST), []);
    let past: &[Past] =
        &[(("letter.sent", 1), &[("letter.sent", 2)], |data| Ok(vec![("letter.sent", data)]))];
    assert_eq!(without_upcaster(&[("letter.sent", 2)], past), []);
    assert_eq!(
        without_upcaster(&[("letter.sent", 4)], past),
        [("letter.sent".to_owned(), 2), ("letter.sent".to_owned(), 3)]
    );
}

#[test]
fn every_version_ever_written_has_its_golden_file_and_there_are_no_others() {
    let shapes: Vec<Shape> =
        history::current().chain(history::PAST.iter().map(|(shape, ..)| *shape)).collect();
    let expected: BTreeSet<PathBuf> = shapes.iter().map(|shape| path(*shape)).collect();
    let entries = |folder: &Path| {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = entries(&source).flat_map(|folder| entries(&folder.join("golden")));
    let is_state =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("state.");
    let found: BTreeSet<PathBuf> = files.filter(|path| !is_state(path)).collect();
    let missing: Vec<&PathBuf> = expected.difference(&found).collect();
    let unknown: Vec<&PathBuf> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "golden files that are missing: {missing:?}; that belong to no version in the lists of \
            `stored_events!` and of `history::PAST`: {unknown:?}"
    );
}
