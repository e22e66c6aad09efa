//! Tests that every event survives encoding, and that foreign messages are not accepted as events.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::DateTime;
use event_store::{Metadata, Position, StreamName, Tag, Version};
use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;
use crate::cloud_event::tests::event;

const BIG_BROKER: usize = 1024 * 1024;

/// Generates any attribute.
fn attribute() -> impl Strategy<Value = Attribute> {
    prop::sample::select([Attribute::IDENTIFYING.as_slice(), &Attribute::LABELS].concat())
}

proptest! {
    #[test]
    fn an_event_comes_out_of_its_message_as_it_went_in(event in event(), epoch in any::<u128>()) {
        let epoch = Epoch(Uuid::from_u128(epoch));
        let encoded = encode(&event, epoch, BIG_BROKER);
        let decoded = decode(&encoded.subject, &encoded.headers, &encoded.payload).unwrap();
        prop_assert_eq!((decoded.epoch, decoded.mark), (epoch, event.mark()));
        prop_assert_eq!(format!("{:?}", decoded.event.unwrap()), format!("{event:?}"));
        for (_, values) in encoded.headers.iter() {
            let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            prop_assert!(values.iter().all(|value| value.as_str().bytes().all(is_plain)));
        }
    }

    #[test]
    fn an_event_that_a_broker_would_refuse_becomes_a_stub_that_fits(event in event()) {
        let encoded = encode(&event, Epoch(Uuid::nil()), 0);
        prop_assert!(encoded.is_stub && encoded.payload.is_empty());
        prop_assert!(encoded.bytes <= MIN_MAX_PAYLOAD);
        let decoded = decode(&encoded.subject, &encoded.headers, &encoded.payload).unwrap();
        prop_assert!(decoded.event.is_none());
        prop_assert_eq!(decoded.mark, event.mark());
    }

    #[test]
    fn no_text_in_a_header_makes_the_decoder_panic(attribute in attribute(),
        value in "[ -~]*", event in event()) {
        let mut encoded = encode(&event, Epoch(Uuid::nil()), BIG_BROKER);
        encoded.headers.insert(header(attribute), value);
        let _ = decode(&encoded.subject, &encoded.headers, &encoded.payload);
    }
}

#[test]
fn the_largest_names_still_make_a_stub_that_fits() {
    let category = "c".repeat(event_store::stream::MAX_CATEGORY_LEN);
    let event = RecordedEvent {
        position: Position(i64::MAX),
        stream: StreamName::new(&category, "i".repeat(event_store::stream::MAX_STREAM_ID_LEN))
            .unwrap(),
        version: Version(i64::MAX),
        fragment: 0,
        id: Uuid::max(),
        event_type: format!("{}.{}", "c".repeat(63), "e".repeat(64)).parse().unwrap(),
        schema_version: i32::MAX,
        data: RawValue::from_string("{}".to_owned()).unwrap(),
        tags: (0..1_000).map(|n| Tag::new("label", n).unwrap()).collect(),
        metadata: Metadata::new(Uuid::max()),
        recorded_at: DateTime::from_timestamp_nanos(1),
        bytes: 0,
    };
    let encoded = encode(&event, Epoch(Uuid::max()), MIN_MAX_PAYLOAD);
    assert!(encoded.is_stub && encoded.bytes <= MIN_MAX_PAYLOAD, "{} bytes", encoded.bytes);
}

#[test]
fn a_message_without_our_headers_is_a_strangers() {
    assert_eq!(
        decode("events.letter.sent", &HeaderMap::new(), b"{}").unwrap_err(),
        DecodeError::Event(cloud_event::DecodeError::Missing(Attribute::Position))
    );
}

const TRACEPARENT_VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An event with all optional attributes.
fn letter() -> RecordedEvent {
    RecordedEvent {
        position: Position(17),
        stream: "letter-0190b2c0-1111-7000-8000-000000000001".parse().unwrap(),
        version: Version(3),
        fragment: 0,
        id: Uuid::from_u128(0x0190_b2c0_2222_7000_8000_0000_0000_0002),
        event_type: "letter.sent".parse().unwrap(),
        schema_version: 2,
        data: RawValue::from_string(r#"{ "to": "Zoë" }"#.to_owned()).unwrap(),
        tags: vec!["letter:1".parse().unwrap(), "to:\"z%\"".parse().unwrap()],
        metadata: Metadata {
            correlation_id: Uuid::from_u128(3),
            causation_id: Some(Uuid::from_u128(4)),
            actor: Some("some \"öne\" 100%".to_owned()),
            credential_id: Some(Uuid::from_u128(6)),
            client_id: Some("till ö".to_owned()),
            traceparent: Some(TRACEPARENT_VALUE.to_owned()),
        },
        recorded_at: DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap(),
        bytes: 0,
    }
}

/// Foreign consumers read these headers, so neither their names nor the form of their values may
/// change.
#[test]
fn an_event_has_exactly_these_headers_on_the_wire() {
    let (event, epoch) = (letter(), Epoch(Uuid::from_u128(5)));
    let identifying = [
        ("daybook-epoch", "00000000-0000-0000-0000-000000000005"),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "0190b2c0-2222-7000-8000-000000000002"),
        ("ce-source", "urn:uuid:00000000-0000-0000-0000-000000000005"),
        ("ce-type", "letter.sent"),
        ("ce-subject", "letter-0190b2c0-1111-7000-8000-000000000001"),
        ("ce-time", "2026-11-18T11:06:40.123456Z"),
        ("ce-position", "17"),
        ("ce-streamversion", "3"),
        ("ce-schemaversion", "2"),
    ];
    let labels = [
        ("daybook-tags", "letter:1 to:\"z%\""),
        ("ce-correlationid", "00000000-0000-0000-0000-000000000003"),
        ("ce-causationid", "00000000-0000-0000-0000-000000000004"),
        ("ce-actor", "some%20%22%C3%B6ne%22%20100%25"),
        ("ce-credentialid", "00000000-0000-0000-0000-000000000006"),
        ("ce-clientid", "till%20%C3%B6"),
        ("traceparent", TRACEPARENT_VALUE),
        ("ce-traceparent", TRACEPARENT_VALUE),
    ];
    let whole = encode(&event, epoch, BIG_BROKER);
    assert_eq!(whole.subject, "events.letter.sent");
    assert_eq!(whole.payload, r#"{ "to": "Zoë" }"#.as_bytes());
    assert_headers(&whole.headers, &[identifying.as_slice(), &labels].concat());
    let stub = encode(&event, epoch, 0);
    assert_eq!(stub.subject, "events.letter.sent");
    assert!(stub.payload.is_empty());
    let marked = [("daybook-stub", "too-large-read-the-store")];
    assert_headers(&stub.headers, &[identifying.as_slice(), &marked].concat());

    let bare = RecordedEvent {
        tags: Vec::new(),
        metadata: Metadata {
            causation_id: None,
            actor: None,
            credential_id: None,
            client_id: None,
            traceparent: None,
            ..event.metadata.clone()
        },
        ..event
    };
    let bare = encode(&bare, epoch, BIG_BROKER);
    assert_headers(&bare.headers, &[identifying.as_slice(), &labels[1..2]].concat());
}

fn assert_headers(found: &HeaderMap, wanted: &[(&str, &str)]) {
    let sorted = |mut headers: Vec<(String, String)>| {
        headers.sort();
        headers
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let found = found.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| pair(name.as_ref(), value.as_str()))
    });
    let wanted = wanted.iter().map(|(name, value)| pair(name, value));
    assert_eq!(sorted(found.collect()), sorted(wanted.collect()));
}
