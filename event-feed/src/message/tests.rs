//! Every event survives the way through a message, and no message of a stranger passes for an
//! event.

#![allow(clippy::unwrap_used, reason = "tests")]

use event_store::StreamName;
use proptest::prelude::*;

use super::*;

const BIG_BROKER: usize = 1024 * 1024;

prop_compose! {
    fn event()(
        (position, version, schema_version) in (1..=i64::MAX, 1..=i64::MAX, 1..=i32::MAX),
        stream in "[a-z][a-z0-9_]{0,20}-[A-Za-z0-9_-]{1,60}",
        event_type in "[a-z][a-z0-9_]{0,20}\\.[a-z][a-z0-9_]{0,20}",
        data in proptest::collection::hash_map(".*", ".*", 0..5),
        tags in proptest::collection::vec("[!-~]{1,40}", 0..6),
        (id, correlation, causation) in (any::<u128>(), any::<u128>(),
            proptest::option::of(any::<u128>())),
        (actor, traceparent) in (proptest::option::of(any::<String>()),
            proptest::option::of(any::<String>())),
        micros in 0..4_000_000_000_000_000_i64,
    ) -> RecordedEvent {
        let metadata = Metadata {
            correlation_id: Uuid::from_u128(correlation),
            causation_id: causation.map(Uuid::from_u128),
            actor,
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
    fn no_text_in_a_header_makes_the_decoder_panic(name in 0..12_usize, value in "[ -~]*",
        event in event()) {
        let names = [EPOCH, TAGS, ID, TYPE, SUBJECT, TIME, POSITION, STREAM_VERSION,
            SCHEMA_VERSION, CORRELATION_ID, ACTOR, CE_TRACEPARENT];
        let mut encoded = encode(&event, Epoch(Uuid::nil()), BIG_BROKER);
        encoded.headers.insert(names[name], value);
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
        metadata: Metadata {
            correlation_id: Uuid::max(),
            causation_id: None,
            actor: None,
            traceparent: None,
        },
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
        DecodeError::Missing(POSITION)
    );
}
