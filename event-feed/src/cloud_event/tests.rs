//! Tests that the neutral form preserves every event, with names that every CloudEvents binding
//! allows.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A second encoding, to show that the form does not depend on NATS: one JSON object, as in
/// CloudEvents' structured mode.
fn structured(event: &RecordedEvent, epoch: Epoch) -> String {
    let event = CloudEvent::new(event, epoch);
    let attributes = all().map(|attribute| (attribute.name(), event.value(attribute)));
    let mut object: BTreeMap<&str, Box<RawValue>> = attributes
        .filter_map(|(name, value)| Some((name, serde_json::value::to_raw_value(&value?).unwrap())))
        .collect();
    object.insert("data", RawValue::from_string(event.data().to_owned()).unwrap());
    serde_json::to_string(&object).unwrap()
}

struct Structured(BTreeMap<String, Box<RawValue>>);

impl Attributes for Structured {
    fn get(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, DecodeError> {
        let value = self.0.get(attribute.name()).map(|value| serde_json::from_str(value.get()));
        let text: Option<String> =
            value.transpose().map_err(|_| DecodeError::Invalid(attribute))?;
        Ok(text.map(Cow::Owned))
    }
}

fn all() -> impl Iterator<Item = Attribute> {
    Attribute::IDENTIFYING.into_iter().chain(Attribute::LABELS)
}

prop_compose! {
    /// Generates arbitrary events.
    pub(crate) fn event()(
        (position, version, schema_version) in (1..=i64::MAX, 1..=i64::MAX, 1..=i32::MAX),
        stream in "[a-z][a-z0-9_]{0,20}-[A-Za-z0-9_-]{1,60}",
        event_type in "[a-z][a-z0-9_]{0,20}\\.[a-z][a-z0-9_]{0,20}",
        data in prop::collection::hash_map(".*", ".*", 0..5),
        tags in prop::collection::vec("[!-~]{1,40}", 0..6),
        (id, correlation, causation) in
            (any::<u128>(), any::<u128>(), prop::option::of(any::<u128>())),
        (actor, traceparent) in
            (prop::option::of(any::<String>()), prop::option::of(any::<String>())),
        (credential, client_id) in
            (prop::option::of(any::<u128>()), prop::option::of(any::<String>())),
        micros in 0..4_000_000_000_000_000_i64,
    ) -> RecordedEvent {
        let metadata = Metadata {
            correlation_id: Uuid::from_u128(correlation),
            causation_id: causation.map(Uuid::from_u128),
            actor,
            credential_id: credential.map(Uuid::from_u128),
            client_id,
            traceparent,
        };
        let data = serde_json::value::to_raw_value(&data).unwrap();
        let bytes = data.get().len() + serde_json::to_string(&metadata).unwrap().len();
        RecordedEvent {
            position: Position(position),
            stream: stream.parse().unwrap(),
            version: Version(version),
            fragment: 0,
            id: Uuid::from_u128(id),
            event_type: event_type.parse().unwrap(),
            schema_version,
            data,
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            metadata,
            recorded_at: DateTime::from_timestamp_micros(micros).unwrap(),
            bytes: u32::try_from(bytes).unwrap(),
        }
    }
}

proptest! {
    #[test]
    fn an_event_comes_out_of_another_targets_encoding_as_it_went_in(
        event in event(), epoch in any::<u128>(),
    ) {
        let epoch = Epoch(Uuid::from_u128(epoch));
        let attributes = Structured(serde_json::from_str(&structured(&event, epoch)).unwrap());
        prop_assert_eq!(event_ref(&attributes).unwrap(), (epoch, event.mark()));
        let decoded = recorded(&attributes, attributes.0["data"].get().as_bytes()).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{event:?}"));
    }

    #[test]
    fn only_free_text_has_other_characters_than_printable_ascii(event in event()) {
        let event = CloudEvent::new(&event, Epoch(Uuid::nil()));
        for attribute in all().filter(|attribute| !attribute.is_free_text()) {
            let value = event.value(attribute).unwrap_or_default();
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            prop_assert!(is_plain, "{}: {}", attribute, value);
        }
    }
}

#[test]
fn the_names_are_ones_that_every_binding_allows_and_none_comes_twice() {
    let mut names: Vec<&str> = all().map(Attribute::name).collect();
    for name in &names {
        let is_allowed =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        // CloudEvents recommends at most 20 characters. In structured mode, `data` is the payload.
        assert!(is_allowed && (1..=20).contains(&name.len()) && *name != "data", "{name}");
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_message_that_lacks_an_attribute_or_has_a_wrong_one_is_no_event() {
    use Attribute as A;

    let whole = json!({
        "id": Uuid::from_u128(1), "epoch": Uuid::from_u128(2), "type": "letter.sent",
        "subject": "letter-1", "time": "2026-11-18T11:06:40Z", "position": "17",
        "streamversion": "3", "schemaversion": "2", "correlationid": Uuid::from_u128(3),
    });
    let decode = |object: &Value| {
        let attributes = Structured(serde_json::from_str(&object.to_string()).unwrap());
        recorded(&attributes, b"{}").map(|event| event.position)
    };
    assert_eq!(decode(&whole), Ok(Position(17)));
    let required =
        [A::Id, A::Type, A::Subject, A::Time, A::Position, A::StreamVersion, A::SchemaVersion];
    for attribute in required.into_iter().chain([A::CorrelationId]) {
        let mut lacking = whole.clone();
        lacking.as_object_mut().unwrap().remove(attribute.name());
        assert_eq!(decode(&lacking), Err(DecodeError::Missing(attribute)));
    }
    for attribute in required.into_iter().chain([A::CorrelationId, A::CausationId, A::Tags]) {
        let mut wrong = whole.clone();
        wrong[attribute.name()] = " ".into();
        assert_eq!(decode(&wrong), Err(DecodeError::Invalid(attribute)));
    }
    let attributes = Structured(serde_json::from_str(&whole.to_string()).unwrap());
    assert_eq!(recorded(&attributes, b"{").unwrap_err(), DecodeError::Data);
}
