//! The one encoder and the one decoder of events on NATS.
//!
//! A message is a CloudEvents 1.0 message in binary mode (`ce-*` headers, the event's data as
//! payload) on the subject `events.<type>`, so that any NATS client can use it. Decoded again it is
//! the recorded event, exactly. An event that is too large for the broker goes as a *stub*: its
//! headers without tags and metadata, no payload, and `daybook-stub`.

use std::fmt::Write as _;

use async_nats::HeaderMap;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use event_store::{
    Epoch, EventRef, EventType, Metadata, Position, RecordedEvent, Registry, Tag, Version,
};
use serde_json::value::RawValue;
use uuid::Uuid;

mod percent;

/// The JetStream stream.
pub const STREAM: &str = "EVENTS";
/// The stream's subjects.
pub const SUBJECTS: &str = "events.>";
/// What stands before the event type in a subject.
const SUBJECT_PREFIX: &str = "events.";

const EPOCH: &str = "daybook-epoch";
const TAGS: &str = "daybook-tags";
const STUB: &str = "daybook-stub";
const STUB_REASON: &str = "too-large-read-the-store";
const CONTENT_TYPE: &str = "content-type";
const SPEC_VERSION: &str = "ce-specversion";
const ID: &str = "ce-id";
const SOURCE: &str = "ce-source";
const TYPE: &str = "ce-type";
const SUBJECT: &str = "ce-subject";
const TIME: &str = "ce-time";
const POSITION: &str = "ce-position";
const STREAM_VERSION: &str = "ce-streamversion";
const SCHEMA_VERSION: &str = "ce-schemaversion";
const CORRELATION_ID: &str = "ce-correlationid";
const CAUSATION_ID: &str = "ce-causationid";
const ACTOR: &str = "ce-actor";
const CE_TRACEPARENT: &str = "ce-traceparent";
const TRACEPARENT: &str = "traceparent";

/// JetStream refuses headers above 64 KiB; what the relay adds for publishing is subtracted.
const MAX_HEADER_BYTES: usize = 63 * 1024;
/// What the relay adds to a message's headers: expected sequence, batch id, batch sequence, commit.
const PUBLISH_HEADER_BYTES: usize = 256;
/// The smallest `max_payload` of a broker that can carry every stub.
pub const MIN_MAX_PAYLOAD: usize = 2 * 1024;

/// A message ready to be published.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `events.<type>`.
    pub subject: String,
    /// All attributes.
    pub headers: HeaderMap,
    /// The event's data; empty in a stub.
    pub payload: Bytes,
    /// Which event this is.
    pub mark: EventRef,
    /// About how many bytes it takes on the wire.
    pub bytes: usize,
    /// Whether the event was too large.
    pub is_stub: bool,
}

/// A message read.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The history it was published from.
    pub epoch: Epoch,
    /// Which event this is.
    pub mark: EventRef,
    /// The event, or none in a stub: it is to be read from the store.
    pub event: Option<RecordedEvent>,
}

/// Why a message is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No such header.
    #[error("the header {0} is absent")]
    Missing(&'static str),
    /// A header that does not say what it must.
    #[error("the header {0} is not valid")]
    Invalid(&'static str),
    /// The payload is not JSON.
    #[error("the payload is not JSON")]
    Payload,
    /// The subject is not that of the event's type.
    #[error("the subject is not the one of its event type")]
    Subject,
}

/// Makes the message of an event, or its stub when a broker with this `max_payload` would refuse
/// it.
pub fn encode(event: &RecordedEvent, epoch: Epoch, max_payload: usize) -> Encoded {
    let subject = format!("{SUBJECT_PREFIX}{}", event.event_type);
    let mut headers = common_headers(event, epoch);
    add_labels(&mut headers, event);
    let header_bytes = wire_len(&headers) + PUBLISH_HEADER_BYTES;
    let bytes = header_bytes + event.data.get().len();
    if header_bytes <= MAX_HEADER_BYTES && bytes <= max_payload {
        let payload = Bytes::copy_from_slice(event.data.get().as_bytes());
        return Encoded { subject, headers, payload, mark: event.mark(), bytes, is_stub: false };
    }
    let mut headers = common_headers(event, epoch);
    headers.insert(STUB, STUB_REASON);
    let bytes = wire_len(&headers) + PUBLISH_HEADER_BYTES;
    Encoded { subject, headers, payload: Bytes::new(), mark: event.mark(), bytes, is_stub: true }
}

/// The subjects of all that may become an event of one of these types: what a consumer that wants
/// only those filters by, and then narrows what it gets after upcasting it.
pub fn subjects(types: &[EventType], registry: &Registry) -> Vec<String> {
    registry
        .widen_types(types)
        .iter()
        .map(|event_type| format!("{SUBJECT_PREFIX}{event_type}"))
        .collect()
}

/// Reads a message.
///
/// # Errors
/// [`DecodeError`] when it is not one that [`encode`] made.
pub fn decode(subject: &str, headers: &HeaderMap, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let (epoch, mark) = event_ref_of(headers)?;
    let event_type: EventType = parsed(headers, TYPE)?;
    if subject.strip_prefix(SUBJECT_PREFIX) != Some(event_type.as_str()) {
        return Err(DecodeError::Subject);
    }
    if headers.get(STUB).is_some() {
        return Ok(Decoded { epoch, mark, event: None });
    }
    let data = std::str::from_utf8(payload).map_err(|_| DecodeError::Payload)?;
    let metadata = metadata(headers)?;
    let bytes = payload.len() + serde_json::to_vec(&metadata).map_or(0, |text| text.len());
    let event = RecordedEvent {
        position: mark.position,
        stream: parsed(headers, SUBJECT)?,
        version: Version(parsed(headers, STREAM_VERSION)?),
        fragment: 0,
        id: parsed(headers, ID)?,
        event_type,
        schema_version: parsed(headers, SCHEMA_VERSION)?,
        data: RawValue::from_string(data.to_owned()).map_err(|_| DecodeError::Payload)?,
        tags: tags(headers)?,
        metadata,
        recorded_at: recorded_at(headers)?,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
    };
    Ok(Decoded { epoch, mark, event: Some(event) })
}

/// Which event a message is, and of which history.
///
/// # Errors
/// [`DecodeError`] when it is not one that [`encode`] made.
pub fn event_ref_of(headers: &HeaderMap) -> Result<(Epoch, EventRef), DecodeError> {
    let position = Position(parsed(headers, POSITION)?);
    Ok((
        Epoch(parsed(headers, EPOCH)?),
        EventRef { position, event_id: Some(parsed(headers, ID)?) },
    ))
}

fn common_headers(event: &RecordedEvent, epoch: Epoch) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EPOCH, epoch.to_string());
    headers.insert(CONTENT_TYPE, "application/json");
    headers.insert(SPEC_VERSION, "1.0");
    headers.insert(ID, event.id.to_string());
    headers.insert(SOURCE, format!("urn:uuid:{epoch}"));
    headers.insert(TYPE, event.event_type.as_str());
    headers.insert(SUBJECT, event.stream.as_str());
    headers.insert(TIME, event.recorded_at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    headers.insert(POSITION, event.position.to_string());
    headers.insert(STREAM_VERSION, event.version.to_string());
    headers.insert(SCHEMA_VERSION, event.schema_version.to_string());
    headers
}

fn add_labels(headers: &mut HeaderMap, event: &RecordedEvent) {
    if !event.tags.is_empty() {
        // A tag has no blank, so a blank fragments them.
        let mut joined = String::new();
        for (index, tag) in event.tags.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(joined, "{}{}", if index == 0 { "" } else { " " }, tag.as_str());
        }
        headers.insert(TAGS, joined);
    }
    headers.insert(CORRELATION_ID, event.metadata.correlation_id.to_string());
    if let Some(causation) = event.metadata.causation_id {
        headers.insert(CAUSATION_ID, causation.to_string());
    }
    if let Some(actor) = &event.metadata.actor {
        headers.insert(ACTOR, percent::encode(actor));
    }
    if let Some(traceparent) = &event.metadata.traceparent {
        let encoded = percent::encode(traceparent);
        headers.insert(TRACEPARENT, encoded.as_str());
        headers.insert(CE_TRACEPARENT, encoded);
    }
}

fn tags(headers: &HeaderMap) -> Result<Vec<Tag>, DecodeError> {
    let Some(joined) = headers.get(TAGS) else { return Ok(Vec::new()) };
    joined
        .as_str()
        .split(' ')
        .map(|tag| tag.parse().map_err(|_| DecodeError::Invalid(TAGS)))
        .collect()
}

fn metadata(headers: &HeaderMap) -> Result<Metadata, DecodeError> {
    let causation_id =
        headers.get(CAUSATION_ID).map(|_| parsed::<Uuid>(headers, CAUSATION_ID)).transpose()?;
    Ok(Metadata {
        correlation_id: parsed(headers, CORRELATION_ID)?,
        causation_id,
        actor: decoded_text(headers, ACTOR)?,
        traceparent: decoded_text(headers, CE_TRACEPARENT)?,
    })
}

fn recorded_at(headers: &HeaderMap) -> Result<DateTime<Utc>, DecodeError> {
    let time = DateTime::parse_from_rfc3339(text(headers, TIME)?)
        .map_err(|_| DecodeError::Invalid(TIME))?;
    Ok(time.with_timezone(&Utc))
}

fn decoded_text(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, DecodeError> {
    let decoded = headers
        .get(name)
        .map(|value| percent::decode(value.as_str()).ok_or(DecodeError::Invalid(name)));
    decoded.transpose()
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, DecodeError> {
    headers.get(name).map(async_nats::HeaderValue::as_str).ok_or(DecodeError::Missing(name))
}

fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: &'static str) -> Result<T, DecodeError> {
    text(headers, name)?.parse().map_err(|_| DecodeError::Invalid(name))
}

/// How many bytes headers take on the wire.
fn wire_len(headers: &HeaderMap) -> usize {
    const FRAME: usize = "NATS/1.0\r\n\r\n".len();
    const PER_LINE: usize = ": \r\n".len();
    let lines =
        headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    FRAME
        + lines
            .map(|(name, value)| AsRef::<str>::as_ref(name).len() + PER_LINE + value.as_str().len())
            .sum::<usize>()
}

#[cfg(test)]
mod tests;
