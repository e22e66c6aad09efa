//! Encodes and decodes events as NATS messages.
//!
//! A message is a [`CloudEvent`] in the binary mode of CloudEvents' NATS binding: attributes as
//! `ce-*` headers, and the event's data as payload. Its subject is `events.<type>`, so any NATS
//! client can use it. Decoding restores the recorded event exactly. An event that is too large for
//! the broker becomes a *stub*: the attributes that identify it, no payload, and the header
//! `daybook-stub`.
//!
//! Two attributes keep the header names that consumers know: `epoch` is `daybook-epoch`, and `tags`
//! is `daybook-tags`. The binding would call them `ce-epoch` and `ce-tags`. The trace context is
//! also in the header `traceparent`, where tools look for it.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use event_store::{Epoch, EventRef, EventType, RecordedEvent, Registry};

use crate::cloud_event::{self, Attribute, Attributes, CloudEvent, event_ref, parsed, recorded};

mod described;
mod percent;

pub use described::header_schema;

/// The name of the JetStream stream.
pub const STREAM: &str = "EVENTS";
/// The subjects of the stream.
pub const SUBJECTS: &str = "events.>";
/// The prefix of a subject before the event type.
const SUBJECT_PREFIX: &str = "events.";

const STUB: HeaderName = HeaderName::from_static("daybook-stub");
/// The value of that header, on every target.
pub(crate) const STUB_REASON: &str = "too-large-read-the-store";
/// The header of the trace context outside CloudEvents.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The maximum size of a message's headers, including [`PUBLISH_HEADER_BYTES`]. JetStream refuses
/// headers above 64 KiB.
const MAX_HEADER_BYTES: usize = 63 * 1024;
/// The size of the headers that the relay adds for publishing: expected sequence, batch id, batch
/// sequence, commit.
const PUBLISH_HEADER_BYTES: usize = 256;
/// The smallest `max_payload` of a broker that can carry every stub, in bytes.
pub const MIN_MAX_PAYLOAD: usize = 2 * 1024;

/// A message ready to be published.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The subject: `events.<type>`.
    pub subject: String,
    /// The headers with all attributes.
    pub headers: HeaderMap,
    /// The event's data; empty in a stub.
    pub payload: Bytes,
    /// The position and id of the event.
    pub mark: EventRef,
    /// The approximate number of bytes on the wire.
    pub bytes: usize,
    /// Whether the event was too large, so the message is a stub.
    pub is_stub: bool,
}

/// A decoded message.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The epoch from which it was published.
    pub epoch: Epoch,
    /// The position and id of the event.
    pub mark: EventRef,
    /// The event. `None` for a stub: read it from the store.
    pub event: Option<RecordedEvent>,
}

/// Why a message is not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The headers and payload are not a valid event.
    #[error(transparent)]
    Event(#[from] cloud_event::DecodeError),
    /// The subject does not match the event type.
    #[error("the subject does not match the event type")]
    Subject,
}

/// Encodes an event as a message, or as a stub if a broker with this `max_payload` would refuse it.
pub fn encode(event: &RecordedEvent, epoch: Epoch, max_payload: usize) -> Encoded {
    let subject = subject_of(event.event_type.as_str());
    let neutral = CloudEvent::new(event, epoch);
    let mut headers = HeaderMap::new();
    add(&mut headers, neutral, &Attribute::IDENTIFYING);
    add(&mut headers, neutral, &Attribute::LABELS);
    let header_bytes = wire_len(&headers) + PUBLISH_HEADER_BYTES;
    let bytes = header_bytes + neutral.data().len();
    if header_bytes <= MAX_HEADER_BYTES && bytes <= max_payload {
        let payload = Bytes::copy_from_slice(neutral.data().as_bytes());
        return Encoded { subject, headers, payload, mark: event.mark(), bytes, is_stub: false };
    }
    let mut headers = HeaderMap::new();
    add(&mut headers, neutral, &Attribute::IDENTIFYING);
    headers.insert(STUB, STUB_REASON);
    let bytes = wire_len(&headers) + PUBLISH_HEADER_BYTES;
    Encoded { subject, headers, payload: Bytes::new(), mark: event.mark(), bytes, is_stub: true }
}

/// The subject of the events of a type.
pub fn subject_of(event_type: &str) -> String {
    format!("{SUBJECT_PREFIX}{event_type}")
}

/// Whether this is the subject of the events of a type.
pub(crate) fn is_subject_of(subject: &str, event_type: &EventType) -> bool {
    subject.strip_prefix(SUBJECT_PREFIX) == Some(event_type.as_str())
}

/// The subjects of all stored types that may become an event of one of these types. A consumer
/// subscribes to them, and filters again after upcasting.
pub fn subjects(types: &[EventType], registry: &Registry) -> Vec<String> {
    registry.widen_types(types).iter().map(|event_type| subject_of(event_type.as_str())).collect()
}

/// Decodes a message.
///
/// # Errors
/// [`DecodeError`] if [`encode`] did not make the message.
pub fn decode(subject: &str, headers: &HeaderMap, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let attributes = Headers(headers);
    let (epoch, mark) = event_ref(&attributes)?;
    let event_type: EventType = parsed(&attributes, Attribute::Type)?;
    if !is_subject_of(subject, &event_type) {
        return Err(DecodeError::Subject);
    }
    let is_stub = headers.get(STUB).is_some();
    let event = if is_stub { None } else { Some(recorded(&attributes, payload)?) };
    Ok(Decoded { epoch, mark, event })
}

/// Decodes which event a message is, and of which history.
///
/// # Errors
/// [`DecodeError`] if [`encode`] did not make the message.
pub fn event_ref_of(headers: &HeaderMap) -> Result<(Epoch, EventRef), DecodeError> {
    Ok(event_ref(&Headers(headers))?)
}

/// The header of an attribute.
const fn header(attribute: Attribute) -> HeaderName {
    HeaderName::from_static(match attribute {
        Attribute::SpecVersion => "ce-specversion",
        Attribute::Id => "ce-id",
        Attribute::Source => "ce-source",
        Attribute::Type => "ce-type",
        Attribute::Subject => "ce-subject",
        Attribute::Time => "ce-time",
        Attribute::DataContentType => "content-type",
        Attribute::Epoch => "daybook-epoch",
        Attribute::Position => "ce-position",
        Attribute::StreamVersion => "ce-streamversion",
        Attribute::SchemaVersion => "ce-schemaversion",
        Attribute::Tags => "daybook-tags",
        Attribute::CorrelationId => "ce-correlationid",
        Attribute::CausationId => "ce-causationid",
        Attribute::Actor => "ce-actor",
        Attribute::CredentialId => "ce-credentialid",
        Attribute::ClientId => "ce-clientid",
        Attribute::Traceparent => "ce-traceparent",
    })
}

fn add(headers: &mut HeaderMap, event: CloudEvent<'_>, attributes: &'static [Attribute]) {
    for (attribute, value) in event.values(attributes) {
        let value =
            if attribute.is_free_text() { percent::encode(&value) } else { value.into_owned() };
        if attribute == Attribute::Traceparent {
            headers.insert(TRACEPARENT, value.as_str());
        }
        headers.insert(header(attribute), value);
    }
}

/// The attributes in a message's headers.
struct Headers<'a>(&'a HeaderMap);

impl Attributes for Headers<'_> {
    fn get(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, cloud_event::DecodeError> {
        let Some(value) = self.0.get(header(attribute)) else { return Ok(None) };
        if !attribute.is_free_text() {
            return Ok(Some(value.as_str().into()));
        }
        let decoded = percent::decode(value.as_str());
        decoded.map(|text| Some(text.into())).ok_or(cloud_event::DecodeError::Invalid(attribute))
    }
}

/// The size of the headers on the wire, in bytes.
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
