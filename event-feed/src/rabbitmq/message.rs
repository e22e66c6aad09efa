//! Encodes and decodes events as RabbitMQ messages.
//!
//! A message is a [`CloudEvent`] in the binary mode of CloudEvents' AMQP binding: attributes as
//! headers `cloudEvents:<name>`, and the event's data as body. (The binding is for AMQP 1.0, whose
//! application properties are RabbitMQ's headers.) `datacontenttype` is the property
//! `content-type`. The properties `message-id`, `correlation-id`, `type` and `timestamp` repeat what
//! tools show. An event with large labels becomes a *stub*: the attributes that identify it, no
//! body, and the header `daybook-stub`.
//!
//! Personal fields stay encrypted, as they are in the log.

use std::borrow::Cow;

use bytes::Bytes;
use event_store::{Epoch, EventType, RecordedEvent};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::cloud_event::{
    self, Attribute, Attributes, CloudEvent, event_ref, parsed, recorded,
};
use crate::message::{DecodeError, Decoded, STUB_REASON, is_subject_of, subject_of};

/// The prefix of a header that holds an attribute.
const PREFIX: &str = "cloudEvents:";
/// The header of a stub.
pub(crate) const STUB: &str = "daybook-stub";
/// Makes a message survive a restart of the server.
const PERSISTENT: u8 = 2;
/// The maximum size of a message's headers in bytes. They must fit into one frame.
const MAX_HEADER_BYTES: usize = 63 * 1024;
/// The approximate size of the other properties, in bytes.
const PROPERTY_BYTES: usize = 512;

/// A message ready to be published.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// The routing key: `events.<type>`.
    pub(crate) routing_key: ShortString,
    /// The properties and headers.
    pub(crate) properties: BasicProperties,
    /// The event's data; empty in a stub.
    pub(crate) payload: Bytes,
    /// The approximate number of bytes on the wire.
    pub(crate) bytes: usize,
    /// Whether the event was too large, so the message is a stub.
    pub(crate) is_stub: bool,
}

/// Encodes an event as the properties and the body of a message.
pub fn encode(event: &RecordedEvent, epoch: Epoch) -> (BasicProperties, Bytes) {
    let Encoded { properties, payload, .. } = encoded(event, epoch);
    (properties, payload)
}

/// Encodes an event with what the relay needs to know.
pub(crate) fn encoded(event: &RecordedEvent, epoch: Epoch) -> Encoded {
    let neutral = CloudEvent::new(event, epoch);
    let (mut headers, identifying) = headers(neutral, &Attribute::IDENTIFYING);
    let (labels, bytes) = self::headers(neutral, &Attribute::LABELS);
    let is_stub = identifying + bytes > MAX_HEADER_BYTES;
    let mut payload = Bytes::new();
    if is_stub {
        headers.insert(STUB.into(), text(STUB_REASON));
    } else {
        for (name, value) in &labels {
            headers.insert(name.clone(), value.clone());
        }
        payload = Bytes::copy_from_slice(neutral.data().as_bytes());
    }
    let seconds = u64::try_from(event.recorded_at.timestamp()).unwrap_or_default();
    // None of these is longer than 128 bytes, and 255 are allowed.
    let properties = BasicProperties::default()
        .with_content_type(cloud_event::DATA_CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.id.to_string().into())
        .with_correlation_id(event.metadata.correlation_id.to_string().into())
        .with_type(event.event_type.as_str().into())
        .with_timestamp(seconds)
        .with_headers(headers);
    Encoded {
        routing_key: subject_of(event.event_type.as_str()).into(),
        properties,
        bytes: PROPERTY_BYTES + identifying + bytes + payload.len(),
        payload,
        is_stub,
    }
}

/// The headers of these attributes, and their approximate size in bytes.
fn headers(event: CloudEvent<'_>, attributes: &'static [Attribute]) -> (FieldTable, usize) {
    const PER_HEADER: usize = 1 + PREFIX.len() + 5;
    let (mut headers, mut bytes) = (FieldTable::default(), 0);
    for (attribute, value) in event.values(attributes) {
        if attribute == Attribute::DataContentType {
            continue;
        }
        bytes += PER_HEADER + attribute.name().len() + value.len();
        headers.insert(header(attribute), text(&value));
    }
    (headers, bytes)
}

fn header(attribute: Attribute) -> ShortString {
    format!("{PREFIX}{}", attribute.name()).into()
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Decodes a message. `routing_key` is the one that it was published with, or `None` if it came on
/// another way, such as from a queue of retries.
///
/// # Errors
/// [`DecodeError`] if [`encode`] did not make the message.
pub fn decode(
    routing_key: Option<&str>,
    properties: &BasicProperties,
    payload: &[u8],
) -> Result<Decoded, DecodeError> {
    let attributes = Headers(properties);
    let (epoch, mark) = event_ref(&attributes)?;
    let event_type: EventType = parsed(&attributes, Attribute::Type)?;
    if routing_key.is_some_and(|key| !is_subject_of(key, &event_type)) {
        return Err(DecodeError::Subject);
    }
    let is_stub = header_of(properties, STUB).is_some();
    let event = if is_stub { None } else { Some(recorded(&attributes, payload)?) };
    Ok(Decoded { epoch, mark, event })
}

/// The text of a header, if the message has it.
pub(crate) fn header_of<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    let value = properties.headers().as_ref()?.inner().get(name)?;
    std::str::from_utf8(value.as_long_string()?.as_bytes()).ok()
}

/// The attributes in a message's headers.
struct Headers<'a>(&'a BasicProperties);

impl Attributes for Headers<'_> {
    fn get(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, cloud_event::DecodeError> {
        if attribute == Attribute::DataContentType {
            return Ok(self.0.content_type().as_ref().map(|value| value.as_str().into()));
        }
        let name = header(attribute);
        let Some(headers) = self.0.headers() else { return Ok(None) };
        if !headers.contains_key(name.as_str()) {
            return Ok(None);
        }
        let value = header_of(self.0, name.as_str());
        value.map(|text| Some(text.into())).ok_or(cloud_event::DecodeError::Invalid(attribute))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use event_store::Tag;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::cloud_event::tests::event;

    const EPOCH: Epoch = Epoch(Uuid::from_u128(3));

    proptest! {
        #[test]
        fn a_message_decodes_to_the_event(event in event()) {
            let Encoded { routing_key, properties, payload, is_stub, .. } = encoded(&event, EPOCH);
            prop_assert!(!is_stub);
            prop_assert_eq!(properties.delivery_mode(), &Some(2));
            prop_assert_eq!(
                properties.message_id().as_ref().unwrap().as_str(), event.id.to_string()
            );
            let decoded = decode(Some(routing_key.as_str()), &properties, &payload).unwrap();
            prop_assert_eq!((decoded.epoch, decoded.mark), (EPOCH, event.mark()));
            prop_assert_eq!(format!("{:?}", decoded.event.unwrap()), format!("{event:?}"));
            prop_assert_eq!(
                decode(Some("events.other.type"), &properties, &payload).unwrap_err(),
                DecodeError::Subject
            );
        }

        #[test]
        fn an_event_with_large_labels_becomes_a_stub_that_fits_a_frame(event in event()) {
            let tag = |n: usize| format!("thing:{n:0>100}").parse::<Tag>().unwrap();
            let event = RecordedEvent { tags: (0..700).map(tag).collect(), ..event };
            let Encoded { properties, payload, is_stub, .. } = encoded(&event, EPOCH);
            prop_assert!(is_stub && payload.is_empty());
            let decoded = decode(None, &properties, &payload).unwrap();
            prop_assert_eq!(decoded.mark, event.mark());
            prop_assert!(decoded.event.is_none());
        }
    }

    #[test]
    fn a_foreign_message_is_refused() {
        let refused = decode(None, &BasicProperties::default(), b"{}");
        assert!(matches!(refused, Err(DecodeError::Event(_))), "{refused:?}");
    }
}
