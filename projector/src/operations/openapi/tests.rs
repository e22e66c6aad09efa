//! The document says what the code takes and answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use projection::AnyProjection;
use projection::operation::{Operation, Task};

use serde_json::Map;

use super::*;
use crate::projections;

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

fn requests() -> Vec<(Kind, Value)> {
    let document = document();
    let requests = document["components"]["schemas"]["Request"]["oneOf"].as_array().unwrap();
    let named = |request: &Value| {
        let kind = request["properties"]["kind"]["const"].as_str().unwrap();
        (Kind::named(kind).unwrap(), request["properties"]["arguments"].clone())
    };
    requests.iter().map(named).collect()
}

/// The fields that the code finds wrong if only this one is given.
fn wrong(
    projection: &dyn AnyProjection,
    kind: Kind,
    name: &str,
    value: &Value,
) -> BTreeSet<String> {
    match Task::read(kind, json!({name: value})) {
        Ok(task) => task.check(projection).into_iter().map(|error| error.pointer).collect(),
        Err(_) => [format!("/arguments/{name}")].into(),
    }
}

#[test]
fn every_kind_is_described_once_with_the_arguments_that_it_takes() {
    let described = requests();
    let kinds: Vec<Kind> = described.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, Kind::ALL);
    for (kind, arguments) in described {
        let taken = Task::read(kind, json!({})).unwrap().arguments().unwrap();
        assert_eq!(names(&arguments["properties"]), names(&taken), "{kind:?}");
    }
}

#[test]
fn required_arguments_and_limits_are_those_that_the_code_checks() {
    for projection in projections::all() {
        let projection = projection.as_ref();
        for (kind, arguments) in requests() {
            let missing = Task::read(kind, json!({})).unwrap().check(projection);
            let missing: BTreeSet<String> =
                missing.into_iter().map(|wrong| wrong.pointer).collect();
            let required = arguments["required"].as_array().unwrap().iter();
            let required: BTreeSet<String> =
                required.map(|name| format!("/arguments/{}", name.as_str().unwrap())).collect();
            assert_eq!(missing, required, "{kind:?}");
            for (name, schema) in arguments["properties"].as_object().unwrap() {
                let pointer = format!("/arguments/{name}");
                let refuses =
                    |value: Value| wrong(projection, kind, name, &value).contains(&pointer);
                if let (Some(least), Some(most)) =
                    (schema["minimum"].as_i64(), schema["maximum"].as_i64())
                {
                    assert!(!refuses(json!(least)) && !refuses(json!(most)), "{kind:?} {name}");
                    assert!(refuses(json!(least - 1)), "{kind:?} {name}");
                    assert!(most == i64::MAX || refuses(json!(most + 1)), "{kind:?} {name}");
                }
                if let Some(most) = schema["maxLength"].as_u64() {
                    let text = "x".repeat(usize::try_from(most).unwrap());
                    assert!(!refuses(json!(text)) && refuses(json!(text + "x")), "{kind:?} {name}");
                }
            }
            assert!(arguments["properties"].get("sample").is_none_or(|_| {
                let refuses =
                    |share: f64| !wrong(projection, kind, "sample", &json!(share)).is_empty();
                refuses(0.0) && refuses(1.01) && !refuses(1.0)
            }));
        }
    }
}

#[test]
fn the_record_is_described_with_the_fields_that_it_has() {
    let document = document();
    let described = &document["components"]["schemas"]["Operation"]["properties"];
    let mut record: Map<String, Value> =
        names(described).into_iter().map(|name| (name, Value::Null)).collect();
    for (name, value) in [
        ("id", json!("0190b3a2-0000-7000-8000-000000000001")),
        ("kind", json!("pause")),
        ("projection", json!("x")),
        ("requested_by", json!("x")),
        ("reason", json!("x")),
        ("requested_at", json!("2026-01-31T12:00:00Z")),
        ("state", json!("queued")),
        ("position", json!(0)),
        ("end_position", json!(0)),
        ("attempts", json!(0)),
        ("cancel_wanted", json!(false)),
    ] {
        assert!(record.insert(name.to_owned(), value).is_some(), "{name}");
    }
    let record: Operation = serde_json::from_value(record.into()).unwrap();
    assert_eq!(names(&serde_json::to_value(record).unwrap()), names(described));
}

#[test]
fn every_reference_of_the_document_resolves() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
