//! An append: its events, its requirements and its outcome.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::{Epoch, EventRef, Metadata, NewEvent, Position, RecordedEvent};
use crate::query::EventQuery;
use crate::stream::{ExpectedVersion, StreamName, Version};

pub(crate) mod prepared;
pub mod reservation;
pub(crate) mod stored_append;

pub use prepared::{
    MAX_APPEND_BYTES, MAX_CONDITION_ITEMS, MAX_EVENT_BYTES, MAX_EVENTS, MAX_JSON_DEPTH,
    MAX_SCOPE_LEN, MAX_STREAMS, MAX_SUBJECTS, MAX_TAGS,
};
pub use reservation::{ReservationChange, ReservationKey, ReservedValue};

/// One unit of work. All of it happens or none of it (promise P3).
///
/// It has at most [`MAX_EVENTS`] events and [`MAX_APPEND_BYTES`] bytes in total. An append that
/// breaks a limit fails with [`StoreError::Invalid`](crate::StoreError::Invalid) before anything is
/// sent.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// The events per stream, with the required version of each stream. Each stream may appear
    /// once; at most [`MAX_STREAMS`] streams.
    pub streams: Vec<StreamAppend>,
    /// The conditions: no event that matches the query may exist after the position. At most
    /// [`MAX_CONDITION_ITEMS`] items over all conditions.
    pub conditions: Vec<AppendCondition>,
    /// The unique values to take or release, at most [`MAX_STREAMS`]. An append with reservations
    /// must have an event.
    pub reservations: Vec<ReservationChange>,
    /// The idempotency key, if any. A repeated command with the same key gets the first answer.
    pub idempotency: Option<Idempotency>,
    /// The epoch that the caller has read. The append is refused if the log is in another one.
    pub epoch: Option<Epoch>,
    /// The subjects whose personal data the append brings, at most [`MAX_SUBJECTS`]. The append is
    /// refused if one of them is erased. The code that encrypts personal fields names their
    /// subjects here. Streams that take a reservation are checked without being named.
    pub subjects: Vec<Uuid>,
}

/// The events to append to one stream. Without events, only the expected version is checked.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// The stream's name.
    pub stream: StreamName,
    /// The version that the stream must have before the append.
    pub expected: ExpectedVersion,
    /// The events to append, in order.
    pub events: Vec<NewEvent>,
}

impl StreamAppend {
    /// Closes a stream for good with a last event of the type
    /// [`STREAM_CLOSED`](crate::event::STREAM_CLOSED). Every later append of events to the stream
    /// is refused as [`Refusal::Closed`]. Reads still work.
    pub fn closing(stream: StreamName, expected: ExpectedVersion, metadata: Metadata) -> Self {
        Self { stream, expected, events: vec![NewEvent::stream_closed(metadata)] }
    }

    /// Returns the refusal, if any, when `last` is the stream's last event.
    pub(crate) fn refusal(&self, last: Option<&RecordedEvent>) -> Option<Refusal> {
        if !self.events.is_empty() && last.is_some_and(|last| last.event_type.closes_stream()) {
            return Some(Refusal::Closed { stream: self.stream.clone() });
        }
        let actual = last.map_or(Version::NONE, |last| last.version);
        let met = match self.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == Version::NONE,
            ExpectedVersion::StreamExists => actual > Version::NONE,
            ExpectedVersion::Exact(version) => actual == version,
            ExpectedVersion::Behind { version, event_id } => {
                actual == version && last.is_some_and(|last| last.id == event_id)
            }
        };
        (!met).then(|| Refusal::Version {
            stream: self.stream.clone(),
            expected: self.expected,
            actual,
        })
    }
}

/// A dynamic consistency boundary. The append is refused if an event that matches `query` exists
/// after the position `after`.
///
/// Every item of the query must name at least one tag; otherwise the append is
/// [`StoreError::Invalid`](crate::StoreError::Invalid). The check scans the events with an item's
/// first tag from `after` until one matches. It is cheapest when that tag is rare and the position
/// is recent.
#[derive(Debug, Clone)]
pub struct AppendCondition {
    /// The query that no event after [`AppendCondition::after`] may match.
    pub query: EventQuery,
    /// The position up to which the caller has read.
    pub after: Position,
}

/// An idempotency key, with the data to recognise the request and to repeat its answer.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The SHA-256 of scope and key. Client text is never stored.
    pub key: [u8; 32],
    /// The SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The answer to return on a repeat. It never holds personal data.
    pub answer: Box<RawValue>,
}

/// The result of a successful append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The log's epoch at the append.
    pub epoch: Epoch,
    /// The last event of this append. For an append without events, it is the log's head.
    pub last: EventRef,
    /// The number of appended events.
    pub count: u32,
    /// The version of each stream after this append, in the order of [`Append::streams`].
    pub versions: Vec<(StreamName, Version)>,
}

/// The outcome of an append: appended, repeated or refused.
#[derive(Debug, Clone)]
pub enum AppendOutcome {
    /// The append succeeded now.
    Appended(Appended),
    /// An earlier append used the same idempotency key. Its result and its stored answer are
    /// returned.
    Repeated {
        /// The result of the first append.
        appended: Appended,
        /// The [`Idempotency::answer`] of the first append.
        answer: Box<RawValue>,
    },
    /// Nothing was appended, for this reason.
    Refused(Refusal),
}

/// Why an append was refused, with the facts that a caller needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A stream has another version than required, or another last event than
    /// [`ExpectedVersion::Behind`] named.
    #[error("stream {stream} is at version {actual}, not as expected ({expected:?})")]
    Version {
        /// The stream's name.
        stream: StreamName,
        /// The required version.
        expected: ExpectedVersion,
        /// The version that the stream has.
        actual: Version,
    },
    /// A stream was closed for good. No event can be added to it, whatever version the append
    /// expects.
    #[error("stream {stream} is closed")]
    Closed {
        /// The stream's name.
        stream: StreamName,
    },
    /// A condition does not hold: an event after its position matches its query.
    #[error("condition {index} is broken by the event at position {position}")]
    Condition {
        /// The index of the condition in [`Append::conditions`].
        index: usize,
        /// The position of the first event that matches.
        position: Position,
    },
    /// Another stream holds the unique value.
    #[error("reservation {index} is held by {owner}")]
    Reservation {
        /// The index of the reservation in [`Append::reservations`].
        index: usize,
        /// The stream that holds the value.
        owner: StreamName,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The log already has an event with this id, from another append.
    #[error("event id {id} is already in the log")]
    DuplicateEvent {
        /// The event's id.
        id: Uuid,
    },
    /// The log is in another epoch than the caller.
    #[error("the log is in epoch {actual}")]
    Epoch {
        /// The epoch that the log is in.
        actual: Epoch,
    },
    /// The append has personal data of an erased subject, or takes a reservation for one. Nobody
    /// could read such data, and nobody would release such a reservation.
    #[error("subject {subject} is erased")]
    SubjectErased {
        /// The erased subject: the person whose data it is.
        subject: Uuid,
    },
}
