//! A copy of a message for a queue of retries or of dead letters.
//!
//! Only our own headers are kept. RabbitMQ's record of the queues that a message went through
//! (`x-death`) would make it drop a message that comes a second time.

use bytes::Bytes;
use event_store::encryption::blanked;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{FieldTable, ShortString};
use uuid::Uuid;

use super::super::receiver::Incoming;
use super::super::{ATTEMPTS, REASON};
use crate::rabbitmq::{Outgoing, text};

/// The prefix of headers that RabbitMQ sets.
const SERVERS: &str = "x-";

/// The content of a copy.
#[derive(Debug)]
pub(super) struct Copy {
    properties: BasicProperties,
    payload: Bytes,
}

impl Copy {
    /// A copy of an event, whose data may have been blanked.
    pub(super) fn of(delivery: &Delivery, incoming: &Incoming) -> Self {
        let data = incoming.event.as_ref().map(|event| event.data.get().as_bytes());
        let payload = Bytes::copy_from_slice(data.unwrap_or_default());
        Self { properties: kept(&delivery.properties), payload }
    }

    /// A copy of a message that is not an event.
    pub(super) fn foreign(delivery: &Delivery, reason: &str) -> Self {
        let copy = Self {
            properties: kept(&delivery.properties),
            payload: Bytes::copy_from_slice(&delivery.data),
        };
        copy.failed(1, Some(reason))
    }

    /// A copy without the personal fields of this subject.
    pub(super) fn without(delivery: &Delivery, subject: Uuid) -> Self {
        let properties = kept(&delivery.properties);
        // Bytes that are not text are of no event.
        let data = std::str::from_utf8(&delivery.data).unwrap_or_default();
        let without = blanked(data, |of| of == subject);
        if without == data {
            return Self { properties, payload: Bytes::copy_from_slice(&delivery.data) };
        }
        // The reason may repeat what was in the event.
        let properties = retain(&properties, |name| name != REASON);
        Self { properties, payload: Bytes::copy_from_slice(without.as_bytes()) }
    }

    /// Records the attempts, and why the last one failed.
    pub(super) fn failed(self, attempts: u32, reason: Option<&str>) -> Self {
        let properties = retain(&self.properties, |name| name != REASON);
        let mut headers = properties.headers().clone().unwrap_or_default();
        headers.insert(ATTEMPTS.into(), text(&attempts.to_string()));
        if let Some(reason) = reason {
            headers.insert(REASON.into(), text(reason));
        }
        Self { properties: properties.with_headers(headers), ..self }
    }

    /// Addresses the copy to a queue. It must exist.
    pub(super) fn to(self, queue: ShortString) -> Outgoing {
        Outgoing {
            exchange: "".into(),
            routing_key: queue,
            mandatory: true,
            properties: self.properties,
            payload: self.payload,
        }
    }
}

/// The properties without what the server added.
fn kept(properties: &BasicProperties) -> BasicProperties {
    retain(properties, |name| !name.starts_with(SERVERS))
}

fn retain(properties: &BasicProperties, wanted: impl Fn(&str) -> bool) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(|headers| headers.inner()) {
        if wanted(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    properties.clone().with_headers(headers)
}
