//! Makers of events, appends and what they require, of things that mean nothing. Names are checked:
//! one that is not allowed panics.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::append::{Append, Idempotency, ReservationChange, ReservedValue, StreamAppend};
use crate::event::{Metadata, NewEvent};
use crate::query::{EventQuery, QueryItem};
use crate::stream::{ExpectedVersion, StreamName, Version};

/// The stream `thing-<id>`.
///
/// # Panics
/// When the id is not allowed in a stream's name.
pub fn stream(id: impl Display) -> StreamName {
    StreamName::new("thing", id).unwrap()
}

/// Metadata with a correlation id of zeros and nothing else.
pub fn metadata() -> Metadata {
    Metadata { correlation_id: Uuid::nil(), causation_id: None, actor: None, traceparent: None }
}

/// An event of a type, of version 1, with a fresh id and a fresh number as its data: `{"number":
/// 7}`.
///
/// # Panics
/// When the type is not one.
pub fn event(event_type: &str) -> NewEvent {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let data = serde_json::json!({ "number": NUMBER.fetch_add(1, Ordering::Relaxed) });
    NewEvent::json(event_type.parse().unwrap(), 1, &data, metadata()).unwrap()
}

/// An [`event`] with tags.
///
/// # Panics
/// When the type or a tag is not one.
pub fn tagged(event_type: &str, tags: &[&str]) -> NewEvent {
    tags.iter().fold(event(event_type), |event, tag| event.tagged(tag.parse().unwrap()))
}

/// An append of events to one stream.
pub fn append_to(stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Append {
    Append { streams: vec![StreamAppend { stream, expected, events }], ..Append::default() }
}

/// What an append requires that stands behind this one, which leaves its first stream with this
/// version.
///
/// # Panics
/// When it adds no event to its first stream.
pub fn behind(append: &Append, version: i64) -> ExpectedVersion {
    ExpectedVersion::Behind {
        version: Version(version),
        event_id: append.streams[0].events.last().unwrap().id,
    }
}

/// An append of one event, `thing.happened`, to the stream `thing-<id>` in whatever version.
///
/// # Panics
/// When the id is not allowed in a stream's name.
pub fn one(id: impl Display) -> Append {
    append_to(stream(id), ExpectedVersion::Any, vec![event("thing.happened")])
}

/// An idempotency key of 32 such bytes, with a request of 32 such bytes and an answer in JSON.
///
/// # Panics
/// When the answer is no JSON.
pub fn key(key: u8, request: u8, answer: &str) -> Idempotency {
    Idempotency {
        key: [key; 32],
        request_hash: [request; 32],
        answer: serde_json::from_str(answer).unwrap(),
    }
}

/// A reservation in the scope `thing.name`, with a hash of 32 such bytes.
pub fn reservation(value: u8) -> ReservedValue {
    ReservedValue { scope: "thing.name".into(), hash: [value; 32] }
}

/// The stream `thing-<owner>` takes a [`reservation`].
///
/// # Panics
/// When the owner's id is not allowed in a stream's name.
pub fn take(value: u8, owner: &str) -> ReservationChange {
    ReservationChange::Take { reservation: reservation(value), owner: stream(owner) }
}

/// The stream `thing-<owner>` gives a [`reservation`] back.
///
/// # Panics
/// When the owner's id is not allowed in a stream's name.
pub fn release(value: u8, owner: &str) -> ReservationChange {
    ReservationChange::Release { reservation: reservation(value), owner: stream(owner) }
}

/// A query of one item: any of these types (of any, when none is given) and all of these tags.
///
/// # Panics
/// When a type or a tag is not one.
pub fn query(types: &[&str], tags: &[&str]) -> EventQuery {
    EventQuery {
        items: vec![QueryItem {
            types: types.iter().map(|t| t.parse().unwrap()).collect(),
            tags: tags.iter().map(|t| t.parse().unwrap()).collect(),
        }],
    }
}
