//! Events: as handed in to be appended, and as recorded in the log.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::InvalidName;
use crate::stream::{StreamName, Version, is_category};

/// Longest event type, in bytes.
pub const MAX_EVENT_TYPE_LEN: usize = 128;
/// Longest tag, in bytes.
pub const MAX_TAG_LEN: usize = 128;

/// The type of the event that closes its stream for good. It is the last one of its stream: an
/// append with an event after it is invalid.
pub const STREAM_CLOSED: &str = "stream.closed";

/// A global position in the log: dense from 1 (promise P1); 0 means "before the first event".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position after this one.
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

/// A position together with the id of the event there: what proves that two parties speak of one
/// history.
///
/// `event_id` is `None` only at [`Position::START`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventRef {
    /// The position in the log.
    pub position: Position,
    /// The id of the event at that position.
    pub event_id: Option<Uuid>,
}

impl EventRef {
    /// Before the first event.
    pub const START: Self = Self { position: Position::START, event_id: None };
}

/// The identity of one history of the log; a restored or lossily promoted database begins a new
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened: category, then the event, as in `letter.sent`; each fragment `[a-z][a-z0-9_]*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Box<str>);

impl EventType {
    /// The whole type.
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

/// A label that conditions and reads can ask for, such as `letter:0190…`; printable ASCII without
/// blanks. Never personal data.
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

    /// The whole tag.
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

/// Where an event came from: never personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The whole business flow that this event belongs to.
    pub correlation_id: Uuid,
    /// The command or event that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Who acted, as an opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event to be appended: at most [`MAX_EVENT_BYTES`](crate::append::MAX_EVENT_BYTES) of data,
/// metadata and tags together, [`MAX_TAGS`](crate::append::MAX_TAGS) tags, and JSON no deeper than
/// [`MAX_JSON_DEPTH`](crate::append::MAX_JSON_DEPTH).
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id (UUIDv7), unique in the log.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The version of the shape of `data`, from 1.
    pub schema_version: i32,
    /// The JSON payload.
    pub data: Box<RawValue>,
    /// Labels for conditions and reads.
    pub tags: Vec<Tag>,
    /// Where it came from.
    pub metadata: Metadata,
}

impl NewEvent {
    /// Makes an event with a fresh UUIDv7 and no tags from anything that serialises to JSON.
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

    /// The event that closes its stream for good; see [`crate::StreamAppend::closing`].
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

    /// Adds a label.
    #[must_use]
    pub fn tagged(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }
}

/// An event of the log. Past events never change.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub version: Version,
    /// Its place among what an older stored event has become, see [`crate::Registry`]; 0 for the
    /// first, and for one as it is stored.
    pub fragment: u32,
    /// The event's id.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The version of the shape of `data`.
    pub schema_version: i32,
    /// The JSON payload.
    pub data: Box<RawValue>,
    /// Labels that conditions and reads can ask for.
    pub tags: Vec<Tag>,
    /// Where it came from.
    pub metadata: Metadata,
    /// When it was appended; never earlier than the event before it.
    pub recorded_at: DateTime<Utc>,
    /// The bytes of payload and metadata as they are stored, whatever was made of them since: what
    /// pages and buffers are bounded by. From a broker it is about that.
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

    /// Position and id.
    pub const fn mark(&self) -> EventRef {
        EventRef { position: self.position, event_id: Some(self.id) }
    }
}
