//! Makers of meaningless events, appends and requirements. They panic on an invalid name.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::append::{Append, Idempotency, ReservationChange, ReservedValue, StreamAppend};
use crate::event::{Metadata, NewEvent};
use crate::query::{EventQuery, QueryItem};
use crate::stream::{ExpectedVersion, StreamName, Version};

/// Makes the stream name `thing-<id>`.
///
/// # Panics
/// When the id is not valid in a stream name.
pub fn stream(id: impl Display) -> StreamName {
    StreamName::new("thing", id).unwrap()
}

/// Makes metadata with an all-zero correlation id and nothing else.
pub fn metadata() -> Metadata {
    Metadata::new(Uuid::nil())
}

/// Makes an event of a type at schema version 1, with a fresh id and a fresh number as its data,
/// such as `{"number": 7}`.
///
/// # Panics
/// When the type is invalid.
pub fn event(event_type: &str) -> NewEvent {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let data = serde_json::json!({ "number": NUMBER.fetch_add(1, Ordering::Relaxed) });
    NewEvent::json(event_type.parse().unwrap(), 1, &data, metadata()).unwrap()
}

/// Makes an [`event`] with tags.
///
/// # Panics
/// When the type or a tag is invalid.
pub fn tagged(event_type: &str, tags: &[&str]) -> NewEvent {
    tags.iter().fold(event(event_type), |event, tag| event.tagged(tag.parse().unwrap()))
}

/// Makes an append of events to one stream.
pub fn append_to(stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Append {
    Append { streams: vec![StreamAppend { stream, expected, events }], ..Append::default() }
}

/// Returns the requirement to follow `append`, which leaves its first stream at this version.
///
/// # Panics
/// When `append` adds no event to its first stream.
pub fn behind(append: &Append, version: i64) -> ExpectedVersion {
    ExpectedVersion::Behind {
        version: Version(version),
        event_id: append.streams[0].events.last().unwrap().id,
    }
}

/// Makes an append of one event, `thing.happened`, to the stream `thing-<id>` at any version.
///
/// # Panics
/// When the id is not valid in a stream name.
pub fn one(id: impl Display) -> Append {
    append_to(stream(id), ExpectedVersion::Any, vec![event("thing.happened")])
}

/// Makes an idempotency key of 32 equal bytes, a request hash of 32 equal bytes and a JSON answer.
///
/// # Panics
/// When the answer is not JSON.
pub fn key(key: u8, request: u8, answer: &str) -> Idempotency {
    Idempotency {
        key: [key; 32],
        request_hash: [request; 32],
        answer: serde_json::from_str(answer).unwrap(),
    }
}

/// Makes a reservation in the scope `thing.name`, with a hash of 32 equal bytes.
pub fn reservation(value: u8) -> ReservedValue {
    ReservedValue { scope: "thing.name".into(), hash: [value; 32] }
}

/// Makes the change by which the stream `thing-<owner>` takes a [`reservation`].
///
/// # Panics
/// When the owner's id is not valid in a stream name.
pub fn take(value: u8, owner: &str) -> ReservationChange {
    ReservationChange::Take { reservation: reservation(value), owner: stream(owner) }
}

/// Makes the change by which the stream `thing-<owner>` releases a [`reservation`].
///
/// # Panics
/// When the owner's id is not valid in a stream name.
pub fn release(value: u8, owner: &str) -> ReservationChange {
    ReservationChange::Release { reservation: reservation(value), owner: stream(owner) }
}

/// Makes a query of one item: any of these types (any type if empty) and all of these tags.
///
/// # Panics
/// When a type or a tag is invalid.
pub fn query(types: &[&str], tags: &[&str]) -> EventQuery {
    EventQuery {
        items: vec![QueryItem {
            types: types.iter().map(|t| t.parse().unwrap()).collect(),
            tags: tags.iter().map(|t| t.parse().unwrap()).collect(),
        }],
    }
}
