//! The subject: concurrent `NoStream` appends of one event with one tag through the library.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Context, bail};
use event_store::{
    Append, AppendOutcome, EventStore, EventType, ExpectedVersion, Idempotency, Metadata, NewEvent,
    PostgresStore, StreamAppend, StreamName, Tag,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::bench::round::{Round, run};

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// The writers, which are kept between rounds.
pub(super) struct Subject {
    workers: Vec<Worker>,
}

/// The content of one event, for subject and references.
pub(super) struct Sample {
    pub(super) id: Uuid,
    pub(super) stream: String,
    pub(super) tag: String,
    pub(super) data: String,
    pub(super) metadata: String,
}

pub(super) const EVENT_TYPE: &str = "bench.appended";
/// The size of an event's JSON, in bytes.
const DATA_BYTES: usize = 250;

impl Sample {
    pub(super) fn new() -> Self {
        let id = Uuid::now_v7();
        let start = format!("{{\"id\":\"{id}\",\"text\":\"");
        let filler = "x".repeat(DATA_BYTES - start.len() - 2);
        Self {
            id,
            stream: format!("bench-{id}"),
            tag: format!("bench:{id}"),
            data: format!("{start}{filler}\"}}"),
            metadata: format!("{{\"correlation_id\":\"{id}\"}}"),
        }
    }
}

impl Subject {
    pub(super) fn new(store: &PostgresStore, writers: usize, keyed: bool) -> Self {
        let worker = |_| {
            let store = store.clone();
            let worker: Worker = Box::new(move || {
                let store = store.clone();
                Box::pin(async move { append(&store, keyed).await })
            });
            worker
        };
        Self { workers: (0..writers).map(worker).collect() }
    }

    pub(super) async fn round(&mut self, seconds: f64) -> anyhow::Result<Round> {
        let (round, workers) = run(seconds, std::mem::take(&mut self.workers)).await?;
        self.workers = workers;
        Ok(round)
    }
}

async fn append(store: &PostgresStore, keyed: bool) -> anyhow::Result<u64> {
    let (id, append) = sample()?;
    let idempotency = keyed.then(|| key(id)).transpose()?;
    send(store, Append { idempotency, ..append }).await
}

/// An append of one event with one tag to a new stream, and the event's id.
pub(in crate::bench) fn sample() -> anyhow::Result<(Uuid, Append)> {
    let Sample { id, stream, tag, data, .. } = Sample::new();
    let event = NewEvent {
        id,
        event_type: EVENT_TYPE.parse::<EventType>()?,
        schema_version: 1,
        data: RawValue::from_string(data)?,
        tags: vec![tag.parse::<Tag>()?],
        metadata: Metadata::new(id),
    };
    let stream = StreamAppend {
        stream: stream.parse::<StreamName>()?,
        expected: ExpectedVersion::NoStream,
        events: vec![event],
    };
    Ok((id, Append { streams: vec![stream], ..Append::default() }))
}

/// Sends an append that must succeed. Returns its number of events.
pub(in crate::bench) async fn send(store: &PostgresStore, append: Append) -> anyhow::Result<u64> {
    match store.append(append).await.context("an append failed")? {
        AppendOutcome::Appended(appended) => Ok(appended.count.into()),
        outcome => bail!("an append to a new stream was not appended: {outcome:?}"),
    }
}

/// A random key like a digest, with an answer as long as a command's.
fn key(id: Uuid) -> anyhow::Result<Idempotency> {
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let mut key = [0; 32];
    key[..16].copy_from_slice(first.as_bytes());
    key[16..].copy_from_slice(second.as_bytes());
    Ok(Idempotency {
        key,
        request_hash: key,
        answer: RawValue::from_string(format!("{{\"id\":\"{id}\"}}"))?,
    })
}
