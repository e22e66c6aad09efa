//! The changes between two schemas of one event version, and which of them break readers.
//!
//! A version is read by programs that know its former schema, and its stored events are read by
//! programs that know the new one. So both must allow the same payloads, apart from new fields that
//! may be absent: an old reader ignores them, unless the former schema allows no others.
//! Descriptions may change freely.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::normal::{Alternative, alternatives, normal};

/// A change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The field, such as `lines[].quantity`, or `.` for the payload itself.
    pub(super) field: String,
    /// What has changed, such as `it may be absent now`.
    pub(super) what: String,
    /// Whether it breaks readers.
    pub(super) breaks: bool,
}

/// The keywords that the comparison below looks into. All others must stay as they are.
const COMPARED: [&str; 6] = ["type", "properties", "required", "items", "enum", "oneOf"];

/// Compares the schema that was published with that of the program.
pub(super) fn changes(published: &Value, now: &Value) -> Vec<Change> {
    let mut found = Found(Vec::new());
    found.schema("", &normal(published), &normal(now));
    found.0
}

struct Found(Vec<Change>);

impl Found {
    fn add(&mut self, field: &str, breaks: bool, what: impl Into<String>) {
        let field = if field.is_empty() { "." } else { field };
        self.0.push(Change { field: field.to_owned(), what: what.into(), breaks });
    }

    fn schema(&mut self, at: &str, then: &Value, now: &Value) {
        if then == now {
            return;
        }
        let (Value::Object(then), Value::Object(now)) = (then, now) else {
            self.add(at, true, format!("it was `{then}` and is `{now}`"));
            return;
        };
        let type_of = |schema: &Map<String, Value>| words(schema.get("type"));
        let (before, after) = (type_of(then), type_of(now));
        if before != after {
            let what = format!("its type was {} and is {}", list(&before), list(&after));
            self.add(at, true, what);
            return;
        }
        self.properties(at, then, now);
        self.values(at, then, now);
        self.alternatives(at, then, now);
        match (then.get("items"), now.get("items")) {
            (Some(then), Some(now)) => self.schema(&format!("{at}[]"), then, now),
            (None, None) => {}
            _ => self.add(at, true, "what its list holds has changed"),
        }
        let keywords: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        let others = keywords.into_iter().filter(|word| !COMPARED.contains(&word.as_str()));
        for word in others.filter(|word| then.get(*word) != now.get(*word)) {
            let show = |schema: &Map<String, Value>| {
                schema.get(word).map_or_else(|| "absent".to_owned(), ToString::to_string)
            };
            let what = format!("its `{word}` was {} and is {}", show(then), show(now));
            self.add(at, true, what);
        }
    }

    fn properties(&mut self, at: &str, then: &Map<String, Value>, now: &Map<String, Value>) {
        let fields = |schema: &Map<String, Value>| {
            schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let (before, after) = (fields(then), fields(now));
        let (needed, needs) = (words(then.get("required")), words(now.get("required")));
        let is_closed = then.get("additionalProperties") == Some(&Value::Bool(false));
        let inside = |name: &str| {
            if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
        };
        for (name, schema) in &before {
            let field = inside(name);
            let Some(schema_now) = after.get(name) else {
                self.add(&field, true, "it is removed or renamed");
                continue;
            };
            match (needed.contains(name), needs.contains(name)) {
                (true, false) => self.add(&field, true, "it may be absent now"),
                (false, true) => {
                    self.add(&field, true, "it is required now, and stored events may lack it");
                }
                _ => {}
            }
            self.schema(&field, schema, schema_now);
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            if needs.contains(name) {
                let what = "it is new and required, and stored events lack it";
                self.add(&inside(name), true, what);
            } else if is_closed {
                self.add(&inside(name), true, "it is new, and readers refuse unknown fields here");
            } else {
                self.add(&inside(name), false, "it is new and may be absent");
            }
        }
    }

    /// Compares the values that are allowed.
    fn values(&mut self, at: &str, then: &Map<String, Value>, now: &Map<String, Value>) {
        let (before, after) = match (then.get("enum"), now.get("enum")) {
            (None, None) => return,
            (Some(before), Some(after)) => (values(before), values(after)),
            (before, _) => {
                let is_free = if before.is_some() { "any value" } else { "only listed values" };
                self.add(at, true, format!("it may have {is_free} now"));
                return;
            }
        };
        for value in after.difference(&before) {
            self.add(at, true, format!("it may have the new value {value}, unknown to readers"));
        }
        for value in before.difference(&after) {
            let what = format!("its value {value} is removed, and stored events may have it");
            self.add(at, true, what);
        }
    }

    /// Compares the kinds that a value may be. Kinds with one name are compared in their order.
    fn alternatives(&mut self, at: &str, then: &Map<String, Value>, now: &Map<String, Value>) {
        let (before, mut after) = (alternatives(then), alternatives(now));
        for Alternative { name, schema } in &before {
            if let Some(same) = after.iter().position(|other| other.name == *name) {
                self.schema(at, schema, after.remove(same).schema);
            } else {
                let what = format!("its kind {name} is removed, and stored events may have it");
                self.add(at, true, what);
            }
        }
        for Alternative { name, .. } in &after {
            self.add(at, true, format!("it may be the new kind {name}, unknown to readers"));
        }
    }
}

/// The texts of a list.
fn words(list: Option<&Value>) -> BTreeSet<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The values of a list, as JSON.
fn values(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(ToString::to_string).collect()
}

fn list(words: &BTreeSet<String>) -> String {
    if words.is_empty() {
        return "open".to_owned();
    }
    words.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}
