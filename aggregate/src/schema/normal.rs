//! The normal form of a schema, in which two of them are compared: references are resolved, words
//! are left out, and each rule has one notation.

use serde_json::{Map, Value, json};

/// Keywords that allow and forbid nothing.
const WORDS: [&str; 11] = [
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// How a reference to a type of the same schema begins.
const DEFINITIONS: &str = "#/$defs/";

/// One of the kinds that a value may be.
pub(super) struct Alternative<'s> {
    /// What tells it from the others: its type, or the fields that it requires.
    pub(super) name: String,
    pub(super) schema: &'s Value,
}

/// The normal form of a whole schema.
pub(super) fn normal(root: &Value) -> Value {
    Within { root }.of(root, &mut Vec::new())
}

/// The kinds in a schema in normal form.
pub(super) fn alternatives(schema: &Map<String, Value>) -> Vec<Alternative<'_>> {
    let kinds = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    kinds.map(|schema| Alternative { name: name_of(schema), schema }).collect()
}

/// The name of a kind. A change of the rules for its fields leaves the name as it is.
fn name_of(schema: &Value) -> String {
    let required = schema["required"].as_array().into_iter().flatten();
    let tag = |name: &str| {
        let values = schema["properties"][name]["enum"].as_array();
        let only = values.filter(|values| values.len() == 1).map(|values| values[0].to_string());
        only.map_or_else(|| name.to_owned(), |value| format!("{name} {value}"))
    };
    let fields: Vec<String> = required.filter_map(Value::as_str).map(tag).collect();
    let types = schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let types = types.collect::<Vec<_>>().join(" or ");
    match (fields.is_empty(), types.is_empty()) {
        (false, _) => format!("with {}", fields.join(", ")),
        (true, false) => types,
        (true, true) => "of its own".to_owned(),
    }
}

struct Within<'r> {
    root: &'r Value,
}

impl Within<'_> {
    /// The normal form of a part. `open` has the definitions around it: one that holds itself is
    /// not resolved again.
    fn of(&self, schema: &Value, open: &mut Vec<String>) -> Value {
        let Value::Object(rules) = schema else { return schema.clone() };
        let mut made = Map::new();
        for (word, rule) in rules.iter().filter(|(word, _)| !WORDS.contains(&word.as_str())) {
            match (word.as_str(), rule) {
                ("$ref", Value::String(name)) => self.resolve(name, open, &mut made),
                ("properties" | "patternProperties", Value::Object(fields)) => {
                    let each =
                        |(name, rule): (&String, &Value)| (name.clone(), self.of(rule, open));
                    let fields = fields.iter().map(each).collect();
                    made.insert(word.clone(), Value::Object(fields));
                }
                ("items" | "additionalProperties" | "not", rule) => {
                    made.insert(word.clone(), self.of(rule, open));
                }
                ("oneOf" | "anyOf", Value::Array(kinds)) => {
                    let kinds = kinds.iter().map(|kind| self.of(kind, open)).collect();
                    add_kinds(kinds, &mut made);
                }
                ("allOf", Value::Array(all)) => {
                    for rule in all {
                        let Value::Object(rule) = self.of(rule, open) else { continue };
                        made.extend(rule);
                    }
                }
                ("const", value) => drop(made.insert("enum".to_owned(), json!([value]))),
                ("type", Value::String(_)) => drop(made.insert(word.clone(), json!([rule]))),
                ("type" | "required", Value::Array(names)) => {
                    let mut names = names.clone();
                    names.sort_by_key(ToString::to_string);
                    made.insert(word.clone(), names.into());
                }
                _ => drop(made.insert(word.clone(), rule.clone())),
            }
        }
        Value::Object(made)
    }

    fn resolve(&self, name: &str, open: &mut Vec<String>, made: &mut Map<String, Value>) {
        let definition = name.strip_prefix(DEFINITIONS).map(|name| &self.root["$defs"][name]);
        let Some(definition) = definition.filter(|_| !open.iter().any(|outer| outer == name))
        else {
            made.insert("$ref".to_owned(), name.into());
            return;
        };
        open.push(name.to_owned());
        if let Value::Object(rules) = self.of(definition, open) {
            made.extend(rules);
        }
        open.pop();
    }
}

/// Adds the kinds of a value. Kinds that only list values become one list, and a kind that is null
/// becomes a type.
fn add_kinds(mut kinds: Vec<Value>, made: &mut Map<String, Value>) {
    let null = json!({"type": ["null"]});
    let nullable = kinds.len() > 1 && kinds.contains(&null);
    if nullable {
        kinds.retain(|kind| *kind != null);
    }
    let values: Option<Vec<&Vec<Value>>> =
        kinds.iter().map(|kind| kind.get("enum").and_then(Value::as_array)).collect();
    let same_type = kinds.iter().all(|kind| kind["type"] == kinds[0]["type"]);
    if let Some(values) = values.filter(|_| same_type) {
        let all: Vec<Value> = values.into_iter().flatten().cloned().collect();
        made.insert("type".to_owned(), kinds[0]["type"].clone());
        made.insert("enum".to_owned(), all.into());
    } else if let ([Value::Object(only)], true) = (kinds.as_slice(), nullable) {
        made.extend(only.clone());
    } else {
        made.insert("oneOf".to_owned(), kinds.into());
    }
    if nullable {
        add_null(made);
    }
}

/// Allows null besides what is allowed already.
fn add_null(made: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = made.get_mut("type") {
        types.push("null".into());
        types.sort_by_key(ToString::to_string);
    } else if let Some(Value::Array(kinds)) = made.get_mut("oneOf") {
        kinds.push(json!({"type": ["null"]}));
    }
}
