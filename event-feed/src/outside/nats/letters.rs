//! The dead letters of a consumer of NATS: a stream of its own.
//!
//! NATS cannot change a message. So a blanked copy is stored, and then the letter is deleted in a
//! way that overwrites it. One that is lost sight of in between is there twice, which does no harm.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{
    Config, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use bytes::Bytes;
use event_store::encryption::blanked;
use uuid::Uuid;

use super::super::{ATTEMPTS, REASON};
use super::{Interrupted, called};
use crate::nats::NatsHandle;

/// The prefix of headers that NATS sets.
const SERVERS: &str = "Nats-";

/// The dead letters of one consumer.
pub(super) struct Letters {
    nats: NatsHandle,
    subject: String,
    stream: Stream,
}

impl Letters {
    /// Opens the stream, and creates it if there is none.
    pub(super) async fn open(nats: &NatsHandle, consumer: &str) -> Result<Self, Interrupted> {
        let subject = format!("dead.{consumer}");
        let config = Config {
            name: format!("DEAD_{consumer}"),
            subjects: vec![subject.clone()],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            ..Config::default()
        };
        let jetstream = nats.jetstream();
        let stream = called("open the dead letters", jetstream.get_or_create_stream(config));
        Ok(Self { nats: nats.clone(), subject, stream: stream.await? })
    }

    /// Adds a letter, and waits until it is stored.
    pub(super) async fn add(
        &self,
        headers: HeaderMap,
        payload: Bytes,
        attempts: u32,
        reason: Option<&str>,
    ) -> Result<(), Interrupted> {
        let mut headers = kept(&headers, &[REASON]);
        headers.insert(ATTEMPTS, attempts.to_string());
        if let Some(reason) = reason {
            headers.insert(REASON, reason);
        }
        self.store(headers, payload).await
    }

    /// Blanks the subject's fields in all letters that are there now.
    pub(super) async fn blank(&self, subject: Uuid) -> Result<(), Interrupted> {
        let info = called("count the dead letters", self.stream.get_info()).await?;
        let (mut next, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        while next <= last {
            let reading = self.stream.get_first_raw_message_by_subject(&self.subject, next);
            let read = reading.await;
            let letter = match read {
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                read => called("read a dead letter", async { read }).await?,
            };
            next = letter.sequence + 1;
            let data = std::str::from_utf8(&letter.payload).unwrap_or_default();
            let without = blanked(data, |of| of == subject);
            if letter.sequence > last || without == data {
                continue;
            }
            // The reason may repeat what was in the event.
            let payload = Bytes::copy_from_slice(without.as_bytes());
            self.store(kept(&letter.headers, &[REASON]), payload).await?;
            called("delete a dead letter", self.stream.delete_message(letter.sequence)).await?;
        }
        Ok(())
    }

    async fn store(&self, headers: HeaderMap, payload: Bytes) -> Result<(), Interrupted> {
        let jetstream = self.nats.jetstream();
        let sending = jetstream.publish_with_headers(self.subject.clone(), headers, payload);
        let stored = called("store a dead letter", sending).await?;
        called("store a dead letter", async { stored.await }).await.map(drop)
    }
}

/// The headers without what the server set, and without these.
fn kept(headers: &HeaderMap, without: &[&str]) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, values) in headers.iter() {
        let text: &str = name.as_ref();
        if text.starts_with(SERVERS) || without.contains(&text) {
            continue;
        }
        for value in values {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
