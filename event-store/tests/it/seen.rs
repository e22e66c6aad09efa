//! A loaded state names the position up to which it has every event of its stream. Conditions of
//! appends begin there, so an event that comes after the read must lie behind it (I4).

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use event_store::test_kit::Interfering;
use event_store::{
    Append, AppendCondition, AppendOutcome, CacheLimits, Current, EventStore, ExpectedVersion,
    MemoryStore, Position, RecordedEvent, Refusal, Registry, StateLoader, StoreError, StreamName,
    StreamState, UpcastingLog, Version,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::support::{append_to, appended, one, query, refused, stream, tagged};

/// A store in which something else happens between a read and its answer.
struct Interrupted {
    inner: MemoryStore,
    between: Mutex<Option<Append>>,
}

#[async_trait]
impl Interfering for Interrupted {
    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn on_read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let read = self.inner.read_stream(stream, after, limit).await;
        let between = self.between.lock().unwrap().take();
        if let Some(append) = between {
            appended(self.inner.append(append).await?);
        }
        read
    }
}

/// The number of a stream's events.
#[derive(Debug, Clone, Copy, Default)]
struct Count(u64);

impl StreamState for Count {
    type Error = std::convert::Infallible;
    const SHAPE: Option<i32> = Some(1);

    fn apply(self, _: &RecordedEvent) -> Result<Self, Self::Error> {
        Ok(Self(self.0 + 1))
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(&self.0)
    }

    fn read(state: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(state.get()).map(Self)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A booth that closes once: a sale requires that it is still open.
struct Booth {
    store: Arc<Interrupted>,
    states: StateLoader,
}

impl Booth {
    fn new() -> Self {
        let inner = MemoryStore::new();
        let store = Arc::new(Interrupted { inner, between: Mutex::default() });
        let registry = Registry::new([("thing.made", 1), ("thing.closed", 1)], []).unwrap();
        let log = UpcastingLog::new(Arc::clone(&store) as _, Arc::new(registry));
        Self { store, states: StateLoader::new(log, CacheLimits::default()) }
    }

    fn happens(kind: &str) -> Append {
        append_to(stream("booth"), ExpectedVersion::Any, vec![tagged(kind, &["thing:booth"])])
    }

    async fn load(&self) -> Current<Count> {
        let epoch = self.store.head().await.unwrap().epoch;
        self.states.load::<Count>(&stream("booth"), epoch).await.unwrap()
    }

    async fn sell(&self, seen: Position) -> AppendOutcome {
        let condition =
            AppendCondition { query: query(&["thing.closed"], &["thing:booth"]), after: seen };
        self.store.append(Append { conditions: vec![condition], ..one("sale") }).await.unwrap()
    }
}

#[tokio::test]
async fn what_happens_between_a_read_and_its_answer_is_not_seen() {
    // An empty stream, one that is read, and one that is in memory.
    for before in 0..3 {
        let booth = Booth::new();
        appended(booth.store.append(one("other")).await.unwrap());
        if before > 0 {
            appended(booth.store.append(Booth::happens("thing.made")).await.unwrap());
        }
        if before > 1 {
            booth.load().await;
        }
        *booth.store.between.lock().unwrap() = Some(Booth::happens("thing.closed"));
        let loaded = booth.load().await;
        assert_eq!(loaded.state.0, before.min(1), "it closed after the read");
        let sold = booth.sell(loaded.seen).await;
        assert!(matches!(refused(sold), Refusal::Condition { .. }), "{before}");
    }
}

#[tokio::test]
async fn a_state_has_seen_all_that_was_known_before_its_read() {
    let booth = Booth::new();
    for events in 0..3 {
        appended(booth.store.append(one("other")).await.unwrap());
        let head = booth.store.head().await.unwrap().mark.position;
        let loaded = booth.load().await;
        assert_eq!((loaded.state.0, loaded.seen), (events, head));
        appended(booth.sell(loaded.seen).await);
        appended(booth.store.append(Booth::happens("thing.made")).await.unwrap());
    }
}
