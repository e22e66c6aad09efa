//! The record of an append in the metadata of its last event: the reservations that it changed and
//! its idempotency key. `verify` rebuilds the tables of reservations and keys from these records.
//! An append with neither leaves no record.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Append;
use super::prepared::ReservationStep;
use crate::event::Metadata;
use crate::stream::StreamName;

/// An event's metadata as written to the log.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    metadata: &'a Metadata,
    append: StoredAppend<&'a str, &'a RawValue>,
}

/// The changes that an append made in addition to its events.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAppend<S, R> {
    /// The number of events in the append; this event is the last of them.
    pub(crate) events: usize,
    /// The idempotency record, if the append had a key.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<StoredKeyUse<S, R>>,
    /// The reservations that it changed.
    #[serde(rename = "claims", default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) reservations: Vec<StoredReservation<S>>,
}

/// The use of an idempotency key, as in the table `event_store.idempotency`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredKeyUse<S, R> {
    #[serde(with = "hex::serde")]
    pub(crate) key: [u8; 32],
    #[serde(with = "hex::serde")]
    pub(crate) request_hash: [u8; 32],
    pub(crate) streams: Vec<S>,
    pub(crate) answer: R,
}

/// The change of one value: one stream releases it, then another takes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredReservation<S> {
    pub(crate) scope: S,
    #[serde(with = "hex::serde")]
    pub(crate) hash: [u8; 32],
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<S>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(crate) take: Option<S>,
}

fn none<T>() -> Option<T> {
    None
}

/// Returns the metadata of an append's last event if the append has something to record.
pub(super) fn metadata(
    append: &Append,
    steps: &[ReservationStep],
    events: usize,
) -> Option<serde_json::Result<String>> {
    let last = append.streams.iter().rev().find_map(|s| s.events.last())?;
    if steps.is_empty() && append.idempotency.is_none() {
        return None;
    }
    let key = append.idempotency.as_ref().map(|i| StoredKeyUse {
        key: i.key,
        request_hash: i.request_hash,
        streams: append.streams.iter().map(|s| s.stream.as_str()).collect(),
        answer: &*i.answer,
    });
    let reservations = steps.iter().map(|step| StoredReservation {
        scope: &*step.reservation.scope,
        hash: step.reservation.hash,
        release: step.release.as_ref().map(StreamName::as_str),
        take: step.take.as_ref().map(StreamName::as_str),
    });
    let written = Written {
        metadata: &last.metadata,
        append: StoredAppend { events, key, reservations: reservations.collect() },
    };
    Some(serde_json::to_string(&written))
}

/// Reads the append's record from an event's metadata in the log.
pub(crate) fn read(
    metadata: &str,
) -> serde_json::Result<Option<StoredAppend<String, Box<RawValue>>>> {
    #[derive(Deserialize)]
    struct Read {
        #[serde(default)]
        append: Option<StoredAppend<String, Box<RawValue>>>,
    }
    // Most events have no record. This test avoids parsing them.
    if !metadata.contains("\"append\":") {
        return Ok(None);
    }
    serde_json::from_str::<Read>(metadata).map(|read| read.append)
}
