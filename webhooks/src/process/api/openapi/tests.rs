//! The document says what the code takes and answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::Serialize;
use uuid::Uuid;

use super::super::Made;
use super::super::body::{Creating, Plain, Reasoned, Replaying, Resuming, Retrying, Skipping};
use super::*;
use crate::tables::{DeliveryRow, ReplayRow, SubscriptionRow};

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
    let (id, at, text) = (Uuid::nil(), DateTime::UNIX_EPOCH, String::new);
    let schemas = &document()["components"]["schemas"];
    let subscription = SubscriptionRow {
        id,
        name: text(),
        url: text(),
        types: Vec::new(),
        personal: false,
        paused_for: None,
        failing_since: None,
        old_until: None,
        created_at: at,
        created_by: text(),
        position: 0,
        waiting: 0,
        parked: 0,
    };
    assert_described(&schemas["Subscription"], &subscription);
    let delivery = DeliveryRow {
        feed: id,
        position: 1,
        event_id: id,
        r#type: text(),
        attempts: 1,
        next_at: None,
        error: text(),
        status: None,
        first_at: at,
        last_at: at,
        is_replay: false,
    };
    assert_described(&schemas["Delivery"], &delivery);
    let replay = ReplayRow {
        id,
        position: 0,
        types: None,
        until: 1,
        rate: 1,
        reason: text(),
        requested_by: text(),
        requested_at: at,
        ended: None,
        ended_at: None,
    };
    assert_described(&schemas["Replay"], &replay);
    assert_described(&schemas["Made"], &Made { id, secret: text() });
}

#[test]
fn every_body_is_described_with_the_fields_that_the_code_takes() {
    let document = document();
    let schema = |path: &str| {
        let body = &document["paths"][path]["post"]["requestBody"];
        body["content"]["application/json"]["schema"].clone()
    };
    let filled = |schema: &Value| -> Value {
        let fields = schema["properties"].as_object().unwrap().iter();
        let filled = fields.map(|(name, field)| {
            let value = match field["type"].as_str().unwrap() {
                "integer" => json!(1),
                "boolean" => json!(true),
                "array" => json!(["letter.sent"]),
                _ if field["format"] == "date-time" => json!("1997-01-12T00:00:00Z"),
                _ => json!("x"),
            };
            (name.clone(), value)
        });
        filled.collect::<Map<_, _>>().into()
    };
    let of_one = |what: &str| format!("{PATH}/{{id}}/{what}");
    let takes: [(String, Takes); 9] = [
        (PATH.to_owned(), |body| serde_json::from_value::<Creating>(body).is_ok()),
        (of_one("pause"), |body| serde_json::from_value::<Reasoned>(body).is_ok()),
        (of_one("resume"), |body| serde_json::from_value::<Resuming>(body).is_ok()),
        (of_one("rotate"), |body| serde_json::from_value::<Plain>(body).is_ok()),
        (of_one("delete"), |body| serde_json::from_value::<Reasoned>(body).is_ok()),
        (of_one("deliveries/retry"), |body| serde_json::from_value::<Retrying>(body).is_ok()),
        (of_one("deliveries/skip"), |body| serde_json::from_value::<Skipping>(body).is_ok()),
        (of_one("replays"), |body| serde_json::from_value::<Replaying>(body).is_ok()),
        (format!("{REPLAYS}/{{id}}/cancel"), |body| serde_json::from_value::<Plain>(body).is_ok()),
    ];
    for (path, takes) in takes {
        let schema = schema(&path);
        let whole = filled(&schema);
        assert!(takes(whole.clone()), "{path}: {whole}");
        for required in schema["required"].as_array().unwrap() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(required.as_str().unwrap());
            assert!(!takes(less), "{path} needs {required}");
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
