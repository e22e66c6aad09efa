//! The document says what the code takes and answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use event_store::postgres::operations::Operation;
use identity::Operator;
use serde_json::Map;
use uuid::Uuid;

use super::super::request::Wanted;
use super::*;

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// The pointers of the fields that the code finds wrong, where nobody is asked for a token.
fn wrong(request: &Value) -> Vec<String> {
    let read = Wanted::read(request.to_string().as_bytes(), &Operator::unverified());
    let Err(problem) = read else { return Vec::new() };
    let body = serde_json::to_value(problem.body()).unwrap();
    let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

/// A valid request of each kind, with every argument.
fn valid() -> Vec<(Kind, Value)> {
    let id = Uuid::now_v7();
    let arguments = |kind| match kind {
        Kind::EraseSubject => json!({"subject": id, "cancel_open_orders": true}),
        Kind::BeginEpoch => json!({"replaces": id, "abandoned": [id]}),
    };
    let request = |kind: Kind| {
        let (name, arguments) = (kind.as_str(), arguments(kind));
        json!({"kind": name, "by": "x", "reason": "y", "arguments": arguments})
    };
    Kind::ALL.map(|kind| (kind, request(kind))).into()
}

#[test]
fn every_kind_is_described_with_the_fields_that_it_takes() {
    let document = document();
    let described = document["components"]["schemas"]["Request"]["oneOf"].as_array().unwrap();
    assert_eq!(described.len(), valid().len());
    for (schema, (kind, request)) in described.iter().zip(valid()) {
        assert_eq!(wrong(&request), [""; 0], "{request}");
        assert_eq!(schema["properties"]["kind"]["const"], kind.as_str());
        for place in ["", "/properties/arguments"] {
            let schema = schema.pointer(place).unwrap();
            let place = place.trim_start_matches("/properties");
            let fields = names(request.pointer(place).unwrap());
            assert_eq!(names(&schema["properties"]), fields, "{kind:?}{place}");
            let required = schema["required"].as_array().unwrap().iter();
            let required: BTreeSet<String> =
                required.map(|name| name.as_str().unwrap().to_owned()).collect();
            for field in fields {
                let mut less = request.clone();
                less.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(&field);
                // A token says it, too, so the document cannot say that it is needed.
                let needed = required.contains(&field) || field == "by";
                assert_eq!(!wrong(&less).is_empty(), needed, "{kind:?}{place}/{field}");
            }
        }
    }
}

#[test]
fn limits_are_those_that_the_code_checks() {
    for (kind, request) in valid() {
        for (field, most) in [("by", MAX_BY_LEN), ("reason", MAX_REASON)] {
            let mut long = request.clone();
            long[field] = "x".repeat(most).into();
            assert_eq!(wrong(&long), [""; 0], "{kind:?}");
            long[field] = "x".repeat(most + 1).into();
            assert_eq!(wrong(&long), [format!("/{field}")], "{kind:?}");
        }
    }
    let many = |count| {
        json!({"kind": "begin_epoch", "by": "x", "reason": "y",
            "arguments": {"replaces": Uuid::nil(), "abandoned": vec![Uuid::nil(); count]}})
    };
    assert_eq!(wrong(&many(MAX_ABANDONED)), [""; 0]);
    assert_eq!(wrong(&many(MAX_ABANDONED + 1)), ["/arguments/abandoned"]);
}

#[test]
fn the_record_is_described_with_the_fields_that_it_has() {
    let document = document();
    let described = &document["components"]["schemas"]["Operation"]["properties"];
    let mut record: Map<String, Value> =
        names(described).into_iter().map(|name| (name, Value::Null)).collect();
    for (name, value) in [
        ("id", json!(Uuid::nil())),
        ("kind", json!("begin_epoch")),
        ("requested_by", json!("x")),
        ("reason", json!("x")),
        ("requested_at", json!("2026-01-31T12:00:00Z")),
        ("state", json!("queued")),
        ("attempts", json!(0)),
        ("irrevocable", json!(false)),
        ("cancel_wanted", json!(false)),
    ] {
        assert!(record.insert(name.to_owned(), value).is_some(), "{name}");
    }
    let record: Operation = serde_json::from_value(record.into()).unwrap();
    assert_eq!(names(&serde_json::to_value(record).unwrap()), names(described));
}
