//! What one append may require, and what comes of it.

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

/// One unit of work: all of it happens or none of it (promise P3).
///
/// At most [`MAX_EVENTS`] events and [`MAX_APPEND_BYTES`] in all; what breaks a limit is
/// [`StoreError::Invalid`](crate::StoreError::Invalid) before anything is sent.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Events per stream, with what each stream's version must be. A stream may stand here once; at
    /// most [`MAX_STREAMS`].
    pub streams: Vec<StreamAppend>,
    /// No event matching the query may exist after the position. At most [`MAX_CONDITION_ITEMS`]
    /// items over all conditions.
    pub conditions: Vec<AppendCondition>,
    /// Unique values to take or release; at most [`MAX_STREAMS`], and the append must have an
    /// event.
    pub reservations: Vec<ReservationChange>,
    /// Makes a repeat of the command answer as the first did.
    pub idempotency: Option<Idempotency>,
    /// Refuses to append to another history than the caller has read.
    pub epoch: Option<Epoch>,
    /// Whose personal data it brings: refused once one of them is erased. At most [`MAX_SUBJECTS`].
    /// Whoever encrypts personal fields names their subjects here; who takes a reservation is
    /// looked at without being named.
    pub subjects: Vec<Uuid>,
}

/// Events for one stream. No events: only the expectation is checked.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// The stream's name.
    pub stream: StreamName,
    /// What its version must be before.
    pub expected: ExpectedVersion,
    /// What is added, in order.
    pub events: Vec<NewEvent>,
}

impl StreamAppend {
    /// Closes a stream for good, by a last event of the type
    /// [`STREAM_CLOSED`](crate::event::STREAM_CLOSED). Every later append of events to it is
    /// refused as [`Refusal::Closed`]; reads are as before.
    pub fn closing(stream: StreamName, expected: ExpectedVersion, metadata: Metadata) -> Self {
        Self { stream, expected, events: vec![NewEvent::stream_closed(metadata)] }
    }

    /// What refuses it when the stream has this last event.
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

/// A dynamic consistency boundary: the append is refused when an event that matches `query` stands
/// after `after`.
///
/// Every item of the query names at least one tag, or the append is
/// [`StoreError::Invalid`](crate::StoreError::Invalid). The events that carry an item's first tag
/// are looked at from `after` on until one matches: it costs least when that tag is the rarest and
/// the position a recent one.
#[derive(Debug, Clone)]
pub struct AppendCondition {
    /// What must not have happened.
    pub query: EventQuery,
    /// Up to where the caller has read.
    pub after: Position,
}

/// An idempotency key with what is needed to recognise the request and to give the same answer
/// again.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// SHA-256 of scope and key, so that no client text is stored.
    pub key: [u8; 32],
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// What the caller wants back on a repeat; never personal data.
    pub answer: Box<RawValue>,
}

/// What came of an append that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The epoch appended in.
    pub epoch: Epoch,
    /// The last event of this append, or the log's head when it appended no event.
    pub last: EventRef,
    /// How many events.
    pub count: u32,
    /// The version of each stream after this append, in the order of [`Append::streams`].
    pub versions: Vec<(StreamName, Version)>,
}

/// What came of an append.
#[derive(Debug, Clone)]
pub enum AppendOutcome {
    /// It was appended now.
    Appended(Appended),
    /// The same idempotency key had appended before: what came of it then, and the answer stored
    /// with it.
    Repeated {
        /// What came of the first.
        appended: Appended,
        /// [`Idempotency::answer`] of the first.
        answer: Box<RawValue>,
    },
    /// Nothing was appended, and why.
    Refused(Refusal),
}

/// Why an append was refused, with the facts that a caller needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A stream had another version, or another last event than [`ExpectedVersion::Behind`] named.
    #[error("stream {stream} is at version {actual}, not as expected ({expected:?})")]
    Version {
        /// The stream's name.
        stream: StreamName,
        /// What was required.
        expected: ExpectedVersion,
        /// What it has.
        actual: Version,
    },
    /// A stream was closed for good: no event can be added to it any more, whatever is expected of
    /// it.
    #[error("stream {stream} is closed")]
    Closed {
        /// The stream's name.
        stream: StreamName,
    },
    /// An event that must not exist does.
    #[error("condition {index} is broken by the event at position {position}")]
    Condition {
        /// Which of [`Append::conditions`].
        index: usize,
        /// The first event that breaks it.
        position: Position,
    },
    /// A unique value is held by another stream.
    #[error("reservation {index} is held by {owner}")]
    Reservation {
        /// Which of [`Append::reservations`].
        index: usize,
        /// The stream that holds it.
        owner: StreamName,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// An event id stands in the log already, with another append.
    #[error("event id {id} stands in the log already")]
    DuplicateEvent {
        /// The event's id.
        id: Uuid,
    },
    /// The log's history is another than the caller's.
    #[error("the log is in epoch {actual}")]
    Epoch {
        /// The log's.
        actual: Epoch,
    },
    /// The append has a personal value of a subject that was erased, which could never be read, or
    /// takes a reservation for it, which nobody would release.
    #[error("subject {subject} is erased")]
    SubjectErased {
        /// The subject: the person whose data it is.
        subject: Uuid,
    },
}
