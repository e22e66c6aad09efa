//! The document says what the code takes and answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::Serialize;
use uuid::Uuid;

use super::super::view::{Entry, Row, Shown, StepRow};
use super::super::{Reasoned, Resuming, Retrying, Skipping};
use super::*;

/// Whether the code takes this body.
type Takes = fn(Value) -> bool;

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

fn assert_described(schema: &Value, shown: &impl Serialize) {
    let shown = serde_json::to_value(shown).unwrap();
    assert_eq!(names(&schema["properties"]), names(&shown));
    let required = schema["required"].as_array().unwrap().iter();
    let required: BTreeSet<String> = required.map(|it| it.as_str().unwrap().to_owned()).collect();
    assert_eq!(required, names(&shown), "no field is ever left out");
}

#[test]
fn what_is_shown_is_described_with_the_fields_that_it_has() {
    let (id, at) = (Uuid::nil(), DateTime::UNIX_EPOCH);
    let text = String::new;
    let row = Row {
        id,
        saga: text(),
        key: text(),
        status: text(),
        definition: 1,
        waits_for: text(),
        reason: None,
        due_at: None,
        moved_at: at,
        failures: 0,
        driven: false,
    };
    let (step, entry) = (
        StepRow { step: text(), action: text(), compensation: text() },
        Entry { version: 1, at, what: text(), by: None },
    );
    let schemas = &document()["components"]["schemas"];
    assert_described(&schemas["Row"], &row);
    let saga = &schemas["Saga"];
    assert_described(&saga["properties"]["steps"]["items"], &step);
    assert_described(&saga["properties"]["timeline"]["items"], &entry);
    let shown = Shown {
        id,
        saga: text(),
        key: text(),
        status: text(),
        definition: 1,
        reason: None,
        parked_for: None,
        due_at: None,
        steps: vec![step],
        timeline: vec![entry],
        next_after: None,
    };
    assert_described(saga, &shown);
}

#[test]
fn every_body_is_described_with_the_fields_that_the_code_takes() {
    let document = document();
    let schema = |verb: &str| {
        let of_one = format!("{PATH}/{{id}}/{verb}");
        let path = if verb == FOLD_AGAIN { format!("{PATH}/{verb}") } else { of_one };
        let body = &document["paths"][path]["post"]["requestBody"];
        body["content"]["application/json"]["schema"].clone()
    };
    let filled = |schema: &Value| -> Value {
        let fields = names(&schema["properties"]).into_iter();
        fields.map(|name| (name, json!("x"))).collect::<Map<_, _>>().into()
    };
    let takes: [(&str, Takes); 6] = [
        (FOLD_AGAIN, |body| serde_json::from_value::<Resuming>(body).is_ok()),
        ("retry", |body| serde_json::from_value::<Retrying>(body).is_ok()),
        ("skip-compensation", |body| serde_json::from_value::<Skipping>(body).is_ok()),
        ("give-up", |body| serde_json::from_value::<Reasoned>(body).is_ok()),
        ("resume", |body| serde_json::from_value::<Resuming>(body).is_ok()),
        ("park", |body| serde_json::from_value::<Reasoned>(body).is_ok()),
    ];
    for (verb, takes) in takes {
        let schema = schema(verb);
        let whole = filled(&schema);
        assert!(takes(whole.clone()), "{verb}: {whole}");
        for required in schema["required"].as_array().unwrap() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(required.as_str().unwrap());
            assert!(!takes(less), "{verb} needs {required}");
        }
    }
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
