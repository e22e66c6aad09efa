//! Tests with kept schemas: `schemas/<type>.v<version>.json` of a domain has the schema of each
//! event version as readers know it. A change that breaks a reader fails the test.
//!
//! New versions, and changes that break no reader, are accepted with `SCHEMAS=accept`. The file of
//! a former version stays: its events are in the log for ever.
//!
//! A new generator may describe the same payloads more exactly, for example with a maximum that was
//! always there. That counts as breaking. Remove the files that the test names and accept the
//! schemas as new, but only if `git diff` shows nothing except what the generator adds: a removed
//! file protects no reader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it fails tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::changes::{Change, changes};
use super::{EventSchema, name_of};
use crate::Past;

/// The folder of the kept schemas, below a domain's `Cargo.toml`.
const FOLDER: &str = "schemas";
/// The variable that accepts what breaks no reader.
const ACCEPT: (&str, &str) = ("SCHEMAS", "accept");

/// Compares the schemas of the program with those that are kept.
///
/// `manifest` is the folder of the domain's `Cargo.toml` (`env!("CARGO_MANIFEST_DIR")`), `written`
/// has the schemas of today, and `past` the former shapes.
///
/// # Panics
/// A change breaks readers, or is not accepted yet. The message names type, field and what to do.
pub fn check(manifest: &str, written: &[EventSchema], past: &[Past]) {
    let folder = Path::new(manifest).join(FOLDER);
    let accepts = std::env::var(ACCEPT.0).is_ok_and(|value| value == ACCEPT.1);
    let mut files = read(&folder);
    let mut wrong = Vec::new();
    for schema in written {
        match verdict(schema, files.remove(&schema.name()).as_ref()) {
            Verdict::Same => {}
            Verdict::Breaks(what) => wrong.push(what),
            Verdict::New(_) if accepts => write(&folder, schema),
            Verdict::New(what) => {
                let package = Path::new(manifest).file_name().unwrap_or_default().display();
                wrong.push(format!(
                    "{what}\n  If that is meant: SCHEMAS=accept cargo test -p {package} schemas"
                ));
            }
        }
    }
    for (shape, ..) in past {
        if files.remove(&name_of(*shape)).is_none() {
            let (event_type, version) = shape;
            wrong.push(format!(
                "{event_type} v{version} is a former version, and its schema is not kept: take \
                    {FOLDER}/{}.json from the commit before",
                name_of(*shape)
            ));
        }
    }
    wrong.extend(files.into_keys().map(|name| {
        format!(
            "{FOLDER}/{name}.json is of an event that nobody writes or upcasts: its readers still \
                need it. List the version in `history::PAST`"
        )
    }));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// The schema is new, or differs in a way that breaks no reader.
    New(String),
    Breaks(String),
}

fn verdict(schema: &EventSchema, kept: Option<&Value>) -> Verdict {
    let EventSchema { event_type, version, schema: now } = schema;
    let Some(kept) = kept else {
        return Verdict::New(format!("{event_type} v{version} is new: its schema is not kept yet"));
    };
    if kept == now {
        return Verdict::Same;
    }
    let changes = changes(kept, now);
    let breaking: Vec<&Change> = changes.iter().filter(|change| change.breaks).collect();
    if breaking.is_empty() {
        let what = lines(changes.iter());
        let what = if what.is_empty() { "\n  its description".to_owned() } else { what };
        return Verdict::New(format!(
            "{event_type} v{version} changes and breaks no reader:{what}"
        ));
    }
    Verdict::Breaks(format!(
        "{event_type} v{version} changes in a way that breaks its readers:{}\n  Leave version \
            {version} as it is, and give {event_type} version {} with an upcaster: see \"How to \
            change an event\" in CONTRIBUTING.md",
        lines(breaking.into_iter()),
        version + 1
    ))
}

fn lines<'c>(changes: impl Iterator<Item = &'c Change>) -> String {
    let line = |Change { field, what, .. }: &Change| format!("\n  field {field}: {what}");
    changes.map(line).collect::<Vec<_>>().concat()
}

/// The kept schemas by name, such as `order.placed.v1`.
fn read(folder: &Path) -> BTreeMap<String, Value> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let schema = serde_json::from_str(&text);
        let schema = schema.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), schema)
    };
    files.map(read).collect()
}

fn write(folder: &Path, schema: &EventSchema) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{}.json", schema.name()));
    fs::write(path, format!("{:#}\n", schema.schema)).unwrap();
}

#[cfg(test)]
mod tests;
