//! The in-memory event store, for tests of code that uses a store. It passes the same contract
//! tests as the Postgres store.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::append::prepared::Prepared;
use crate::append::{Append, AppendOutcome, Idempotency, ReservedValue};
use crate::error::StoreError;
use crate::event::Head;
use crate::event::{Epoch, EventRef, EventType, Position, RecordedEvent};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::store::{EventStore, MAX_PAGE, MAX_PAGE_BYTES};
use crate::stream::{StreamName, Version};

mod decide;

/// An event store in memory. It is cheap to clone; clones share the log.
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    log: Mutex<Log>,
    head: watch::Sender<Position>,
}

/// The contents of the log, like the tables in Postgres.
struct Log {
    epoch: Epoch,
    events: Vec<RecordedEvent>,
    /// For each stream, the indexes of its events in `events`, by version.
    streams: HashMap<StreamName, Vec<usize>>,
    ids: HashMap<Uuid, usize>,
    reservations: HashMap<ReservedValue, StreamName>,
    keys: HashMap<[u8; 32], UsedKey>,
    snapshots: HashMap<StreamName, Snapshot>,
}

/// The record of a used idempotency key.
struct UsedKey {
    request_hash: [u8; 32],
    outcome: AppendOutcome,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Makes an empty log in a fresh epoch.
    pub fn new() -> Self {
        let log = Log {
            epoch: Epoch(Uuid::new_v4()),
            events: Vec::new(),
            streams: HashMap::new(),
            ids: HashMap::new(),
            reservations: HashMap::new(),
            keys: HashMap::new(),
            snapshots: HashMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                log: Mutex::new(log),
                head: watch::Sender::new(Position::START),
            }),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A panic leaves no partial append: every decision is made before anything is added.
        self.inner.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn head(&self) -> EventRef {
        self.events.last().map_or(EventRef::START, RecordedEvent::mark)
    }

    fn version(&self, stream: &StreamName) -> Version {
        self.stream(stream).next_back().map_or(Version::NONE, |last| last.version)
    }

    fn stream(&self, stream: &StreamName) -> impl DoubleEndedIterator<Item = &RecordedEvent> {
        self.streams.get(stream).into_iter().flatten().filter_map(|place| self.events.get(*place))
    }

    /// Returns the events after a position.
    fn after(&self, after: Position) -> impl Iterator<Item = &RecordedEvent> {
        let passed = usize::try_from(after.0).unwrap_or(0);
        self.events.iter().skip(passed)
    }

    /// Reads the clock, but never goes back.
    #[allow(
        clippy::disallowed_methods,
        reason = "replaces the database clock, which callers do not pass in either"
    )]
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        self.events.last().map_or(now, |last| last.recorded_at.max(now))
    }
}

fn page<'a>(events: impl Iterator<Item = &'a RecordedEvent>, limit: u32) -> Vec<RecordedEvent> {
    let mut bytes = 0;
    let fits = |event: &&RecordedEvent| {
        let has_room = bytes < MAX_PAGE_BYTES;
        bytes += event.bytes as usize;
        has_room
    };
    events.take(limit.min(MAX_PAGE) as usize).take_while(fits).cloned().collect()
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn snapshot(
        &self,
        stream: &StreamName,
        shape: i32,
        epoch: Epoch,
    ) -> Result<Option<Snapshot>, StoreError> {
        let log = self.log();
        let fits = |kept: &&Snapshot| {
            let event = log.stream(stream).find(|event| event.version == kept.version);
            (kept.shape, kept.epoch) == (shape, epoch)
                && event.is_some_and(|event| event.mark() == kept.last)
        };
        Ok(log.snapshots.get(stream).filter(fits).cloned())
    }

    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        snapshot.check()?;
        let mut log = self.log();
        if log.snapshots.get(&snapshot.stream).is_none_or(|kept| snapshot.replaces(kept)) {
            log.snapshots.insert(snapshot.stream.clone(), snapshot);
        }
        Ok(())
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        let prepared = Prepared::new(append)?;
        let mut log = self.log();
        let outcome = log.append(prepared);
        self.inner.head.send_replace(log.head().position);
        Ok(outcome)
    }

    async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        Ok(self.log().repeated(idempotency))
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let log = self.log();
        Ok(Head { epoch: log.epoch, mark: log.head() })
    }

    fn known_position(&self) -> Position {
        self.log().head().position
    }

    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError> {
        if position == Position::START {
            return Ok(Some(EventRef::START));
        }
        Ok(self
            .log()
            .after(Position(position.0 - 1))
            .next()
            .filter(|e| e.position == position)
            .map(RecordedEvent::mark))
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        Ok(page(self.log().stream(stream).filter(|e| e.version > after), limit))
    }

    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        Ok(page(
            self.log().stream(stream).rev().filter(|e| before.is_none_or(|b| e.version < b)),
            limit,
        ))
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        Ok(page(self.log().after(after).filter(|e| filter.matches(e)), limit))
    }

    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError> {
        let log = self.log();
        Ok(reservations
            .iter()
            .map(|reservation| log.reservations.get(reservation).cloned())
            .collect())
    }

    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError> {
        let log = self.log();
        let written = log
            .events
            .iter()
            .map(|event| (&event.event_type, event.schema_version))
            .collect::<BTreeSet<_>>();
        let owned = |(event_type, schema_version): (&EventType, i32)| WrittenType {
            event_type: event_type.clone(),
            schema_version,
        };
        Ok(written.into_iter().map(owned).collect())
    }

    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError> {
        let log = self.log();
        let held = log.reservations.iter().filter(|(_, owner)| owner.id() == id);
        let mut held: Vec<_> =
            held.map(|(reservation, owner)| (reservation.clone(), owner.clone())).collect();
        held.sort_by(|(a, _), (b, _)| (&a.scope, &a.hash).cmp(&(&b.scope, &b.hash)));
        held.truncate(limit as usize);
        Ok(held)
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>> {
        let state = (self.clone(), self.inner.head.subscribe(), filter, after, VecDeque::new());
        stream::unfold(state, |(store, mut head, filter, mut after, mut page)| async move {
            loop {
                if let Some(event) = page.pop_front() {
                    return Some((Ok(event), (store, head, filter, after, page)));
                }
                {
                    let log = store.log();
                    page.extend(
                        log.after(after)
                            .filter(|e| filter.matches(e))
                            .take(MAX_PAGE as usize)
                            .cloned(),
                    );
                    after = page.back().map_or(log.head().position, |e: &RecordedEvent| e.position);
                }
                // The sender lives in the store, which this stream keeps alive.
                if page.is_empty() && head.wait_for(|newest| *newest > after).await.is_err() {
                    return None;
                }
            }
        })
        .boxed()
    }
}
