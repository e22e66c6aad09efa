//! Idempotency keys: a command that is sent again has one effect and the same answer (promise P9).
//!
//! The store makes this hold across processes and crashes: it stores the key, the request and the
//! answer with the append. This module has the key and the stored answer (ids only). It also lets a
//! repeat wait for the first request in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Principal;
use event_store::Idempotency;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

/// The maximum length of a key, in characters.
pub const MAX_KEY_LEN: usize = 255;
/// How long a repeat waits for the first request while this process still works on it.
pub const IN_FLIGHT_WAIT: Duration = Duration::from_secs(10);

/// The error for a text that is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to {MAX_KEY_LEN} printable ASCII characters")]
pub struct InvalidKey;

/// An idempotency key as the caller wrote it: 1 to [`MAX_KEY_LEN`] printable ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Accepts a text as a key.
    ///
    /// # Errors
    /// [`InvalidKey`] if it has other characters or another length.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let fits = (1..=MAX_KEY_LEN).contains(&text.len()) && text.bytes().all(is_printable);
        if fits { Ok(Self(text)) } else { Err(InvalidKey) }
    }
}

/// An idempotency key together with the request that it came with.
#[derive(Clone)]
pub struct KeyedRequest {
    key: IdempotencyKey,
    request_hash: [u8; 32],
}

impl KeyedRequest {
    /// Binds a key to its request.
    ///
    /// The parts identify the request. Only the last part may contain a zero byte, so no two
    /// requests look the same.
    pub fn new(key: IdempotencyKey, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                hash.update([0]);
            }
            hash.update(part);
        }
        Self { key, request_hash: hash.finalize().into() }
    }

    /// The record for the store: the key within its operation and of its principal, hashed so no
    /// client text is stored. Two principals never meet each other's keys.
    ///
    /// # Errors
    /// The answer cannot be written as JSON.
    pub fn record(
        &self,
        operation: &str,
        principal: &Principal,
        answer: &impl Serialize,
    ) -> Result<Idempotency, serde_json::Error> {
        let key = Sha256::new()
            .chain_update(operation)
            .chain_update([0])
            .chain_update(principal.to_string())
            .chain_update([0])
            .chain_update(&self.key.0)
            .finalize()
            .into();
        Ok(Idempotency { key, request_hash: self.request_hash, answer: to_raw_value(answer)? })
    }
}

/// The stored part of a command's answer: ids only. Versions and position come from the append
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The id of the changed aggregate.
    pub id: Uuid,
    /// The part of the aggregate that was added.
    #[serde(flatten)]
    pub part: Option<Part>,
}

/// A part of an aggregate that a command added, with an id of its own. A stored answer has it under
/// the name that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A line of an order.
    #[serde(rename = "line_id")]
    Line(Uuid),
    /// An address of a user.
    #[serde(rename = "address_id")]
    Address(Uuid),
}

impl Part {
    /// The id, if it is a line of an order.
    pub const fn line(self) -> Option<Uuid> {
        match self {
            Self::Line(id) => Some(id),
            Self::Address(_) => None,
        }
    }

    /// The id, if it is an address of a user.
    pub const fn address(self) -> Option<Uuid> {
        match self {
            Self::Address(id) => Some(id),
            Self::Line(_) => None,
        }
    }
}

impl Answer {
    /// Reads a stored answer.
    ///
    /// # Errors
    /// The text is not an answer that this program wrote.
    pub fn read(kept: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(kept.get())
    }
}

/// The keyed commands that this process works on: at most one per key.
#[derive(Clone, Default)]
pub struct InFlight {
    keys: Arc<Mutex<HashMap<[u8; 32], watch::Receiver<()>>>>,
}

/// The right to work on a key, which ends when this is dropped.
pub struct Turn {
    in_flight: InFlight,
    key: [u8; 32],
    // Dropping this wakes all waiting repeats.
    _done: watch::Sender<()>,
}

/// The error if the first request is still in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillInFlight;

impl InFlight {
    /// Waits until no other command in this process works on the key.
    ///
    /// # Errors
    /// [`StillInFlight`] after `deadline`.
    pub async fn turn(&self, key: [u8; 32], deadline: Duration) -> Result<Turn, StillInFlight> {
        tokio::time::timeout(deadline, async {
            loop {
                match self.take(key) {
                    Ok(turn) => return turn,
                    // An error means that the sender is gone, so the other turn is over.
                    Err(mut other) => while other.changed().await.is_ok() {},
                }
            }
        })
        .await
        .map_err(|_| StillInFlight)
    }

    fn take(&self, key: [u8; 32]) -> Result<Turn, watch::Receiver<()>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = keys.get(&key) {
            return Err(other.clone());
        }
        let (done, receiver) = watch::channel(());
        keys.insert(key, receiver);
        Ok(Turn { in_flight: self.clone(), key, _done: done })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.in_flight.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use access::Principal;

    use super::{
        Answer, IN_FLIGHT_WAIT, IdempotencyKey, InFlight, KeyedRequest, MAX_KEY_LEN, Part,
        StillInFlight,
    };

    #[test]
    fn a_key_is_printable_ascii_of_bounded_length() {
        let longest = "x".repeat(MAX_KEY_LEN);
        for text in ["a", "a b", "\"quoted\"", &longest] {
            assert!(IdempotencyKey::new(text).is_ok(), "{text:?}");
        }
        for text in ["", "ä", "a\n", "a\u{0}", &format!("{longest}x")] {
            assert!(IdempotencyKey::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_means_something_else_for_another_operation_principal_or_request() {
        let request = |[method, path, body]: [&str; 3]| {
            let parts = [method, path, body].map(str::as_bytes);
            KeyedRequest::new(IdempotencyKey::new("k").unwrap(), &parts)
        };
        let answer = Answer { id: uuid::Uuid::nil(), part: None };
        let record = |operation, parts| {
            request(parts).record(operation, &Principal::Anonymous, &answer).unwrap()
        };
        let first = ["POST", "/a", "{}"];
        assert_ne!(record("one", first).key, record("two", first).key);
        let somebody = Principal::User { id: uuid::Uuid::nil() };
        let theirs = request(first).record("one", &somebody, &answer).unwrap();
        assert_ne!(record("one", first).key, theirs.key);
        for other in
            [["PUT", "/a", "{}"], ["POST", "/b", "{}"], ["POST", "/a", "[]"], ["POST", "/a{", "}"]]
        {
            assert_eq!(record("one", first).key, record("one", other).key);
            assert_ne!(
                record("one", first).request_hash,
                record("one", other).request_hash,
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_stored_answer_has_the_names_that_clients_see() {
        let id = uuid::Uuid::from_u128(1);
        for (part, stored) in [
            (None, format!(r#"{{"id":"{id}"}}"#)),
            (Some(Part::Line(id)), format!(r#"{{"id":"{id}","line_id":"{id}"}}"#)),
            (Some(Part::Address(id)), format!(r#"{{"id":"{id}","address_id":"{id}"}}"#)),
        ] {
            let answer = Answer { id, part };
            assert_eq!(serde_json::to_string(&answer).unwrap(), stored);
            let read = Answer::read(&serde_json::value::RawValue::from_string(stored).unwrap());
            assert_eq!(read.unwrap(), answer);
        }
    }

    #[tokio::test]
    async fn a_second_waits_for_the_first_and_no_longer_than_its_deadline() {
        let in_flight = InFlight::default();
        let first = in_flight.turn([1; 32], Duration::ZERO).await.unwrap();
        assert_eq!(
            in_flight.turn([1; 32], Duration::from_millis(5)).await.err(),
            Some(StillInFlight)
        );
        assert!(in_flight.turn([2; 32], Duration::ZERO).await.is_ok());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.turn([1; 32], IN_FLIGHT_WAIT).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(in_flight.keys.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
