//! Events, both new ones to append and recorded ones from the log.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::InvalidName;
use crate::stream::{StreamName, Version, is_category};

/// The maximum length of an event type, in bytes.
pub const MAX_EVENT_TYPE_LEN: usize = 128;
/// The maximum length of a tag, in bytes.
pub const MAX_TAG_LEN: usize = 128;

/// The type of the event that closes its stream for good. It is the last event of its stream: an
/// append with an event after it is invalid.
pub const STREAM_CLOSED: &str = "stream.closed";

/// A global position in the log. Positions are dense from 1 (promise P1); 0 means "before the first
/// event".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// The position before the first event.
    pub const START: Self = Self(0);

    /// Returns the position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position and the id of the event there. Two parties with equal references share one history up
/// to that position.
///
/// `event_id` is `None` only at [`Position::START`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventRef {
    /// The position in the log.
    pub position: Position,
    /// The id of the event at that position.
    pub event_id: Option<Uuid>,
}

/// The epoch and the last event of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The epoch that the log is in: the identity of its history.
    pub epoch: Epoch,
    /// The last event of the log.
    pub mark: EventRef,
}

impl EventRef {
    /// The reference before the first event.
    pub const START: Self = Self { position: Position::START, event_id: None };
}

/// The identity of one history of the log. A restored database begins a new epoch, and so does a
/// standby that was promoted with commits missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of what happened: a category and an event, as in `letter.sent`. Each half is
/// `[a-z][a-z0-9_]*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Box<str>);

impl EventType {
    /// The full text, as in `letter.sent`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event of this type closes its stream.
    pub fn closes_stream(&self) -> bool {
        &*self.0 == STREAM_CLOSED
    }
}

impl std::str::FromStr for EventType {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts_ok =
            text.split_once('.').is_some_and(|(c, what)| is_category(c) && is_category(what));
        if parts_ok && text.len() <= MAX_EVENT_TYPE_LEN {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new("event type", text))
        }
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0.into()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label that conditions and reads can search for, such as `letter:0190…`. It is printable ASCII
/// without blanks and never holds personal data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Box<str>);

impl Tag {
    /// Makes a tag of a key and a value, written `key:value`.
    ///
    /// # Errors
    /// [`InvalidName`] when the text is empty, too long, or has a blank, a control or a non-ASCII
    /// character.
    pub fn new(key: &str, value: impl fmt::Display) -> Result<Self, InvalidName> {
        format!("{key}:{value}").parse()
    }

    /// The full text, as in `key:value`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let ok =
            (1..=MAX_TAG_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if ok { Ok(Self(text.into())) } else { Err(InvalidName::new("tag", text)) }
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.into()
    }
}

/// The origin of an event: the flow, the cause and the actor. It never holds personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The id of the whole business flow that this event belongs to.
    pub correlation_id: Uuid,
    /// The id of the command or event that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// The actor, as an opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The id of the session or key that the actor proved to be with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<Uuid>,
    /// The client that acted for the actor, as an opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Metadata {
    /// The origin of an event of this flow, of which nothing else is known.
    pub const fn new(correlation_id: Uuid) -> Self {
        Self {
            correlation_id,
            causation_id: None,
            actor: None,
            credential_id: None,
            client_id: None,
            traceparent: None,
        }
    }
}

/// An event to append. Data, metadata and tags together have at most
/// [`MAX_EVENT_BYTES`](crate::append::MAX_EVENT_BYTES) bytes. It has at most
/// [`MAX_TAGS`](crate::append::MAX_TAGS) tags, and its JSON is nested at most
/// [`MAX_JSON_DEPTH`](crate::append::MAX_JSON_DEPTH) deep.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event's id (UUIDv7), unique in the log.
    pub id: Uuid,
    /// The event's type.
    pub event_type: EventType,
    /// The version of the shape of `data`, from 1.
    pub schema_version: i32,
    /// The JSON payload.
    pub data: Box<RawValue>,
    /// The labels that conditions and reads can search for.
    pub tags: Vec<Tag>,
    /// The origin of the event.
    pub metadata: Metadata,
}

impl NewEvent {
    /// Makes an event with a fresh UUIDv7 and no tags from a value that serialises to JSON.
    ///
    /// # Errors
    /// When `data` cannot be serialised.
    pub fn json<T: Serialize>(
        event_type: EventType,
        schema_version: i32,
        data: &T,
        metadata: Metadata,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: Uuid::now_v7(),
            event_type,
            schema_version,
            data: serde_json::value::to_raw_value(data)?,
            tags: Vec::new(),
            metadata,
        })
    }

    /// Makes the event that closes its stream for good; see [`crate::StreamAppend::closing`].
    pub fn stream_closed(metadata: Metadata) -> Self {
        #[expect(clippy::expect_used, reason = "it is JSON")]
        let data = RawValue::from_string("{}".into()).expect("an empty object");
        Self {
            id: Uuid::now_v7(),
            event_type: EventType(STREAM_CLOSED.into()),
            schema_version: 1,
            data,
            tags: Vec::new(),
            metadata,
        }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tagged(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }
}

/// An event recorded in the log. Recorded events never change.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// The position in the log.
    pub position: Position,
    /// The stream that the event belongs to.
    pub stream: StreamName,
    /// The version of the event within its stream.
    pub version: Version,
    /// The index among the events that upcasting made of one stored event, see [`crate::Registry`].
    /// It is 0 for the first, and for an event that was not upcast.
    pub fragment: u32,
    /// The event's id.
    pub id: Uuid,
    /// The event's type.
    pub event_type: EventType,
    /// The version of the shape of `data`.
    pub schema_version: i32,
    /// The JSON payload.
    pub data: Box<RawValue>,
    /// The labels that conditions and reads can search for.
    pub tags: Vec<Tag>,
    /// The origin of the event.
    pub metadata: Metadata,
    /// The time of the append. It is never earlier than that of the event before it.
    pub recorded_at: DateTime<Utc>,
    /// The size of payload and metadata as stored, in bytes, also after upcasting. It bounds pages
    /// and buffers. For an event from a broker it is approximate.
    pub bytes: u32,
}

impl RecordedEvent {
    /// Reads the payload as `T`.
    ///
    /// # Errors
    /// When the payload has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }

    /// Returns the event's position and id.
    pub const fn mark(&self) -> EventRef {
        EventRef { position: self.position, event_id: Some(self.id) }
    }
}
