//! Replays the log without touching the live tables, for rebuilds and verifications.
//!
//! Replay reads the log from Postgres in ranges of positions, several at a time. A separate task
//! reads and prepares each range. The ranges are folded in order, in memory (`projection/rows.rs`).

use std::sync::Arc;

use event_store::KeyError;
use event_store::encryption::Vault;
use event_store::store::{MAX_PAGE, is_last_page};
use event_store::{
    EventRef, EventStore, EventType, Filter, Head, Position, RecordedEvent, StoreError,
    UpcastingLog,
};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use serde_json::value::RawValue;
use tokio_util::task::AbortOnDropHandle;

use crate::projection::{AnyProjection, Partitions, Prepared, Reason, WriteError};
use crate::runner::parked::Reread;

pub mod compare;
pub(crate) mod pace;

/// The number of bytes in a MiB.
pub const MIB: usize = 1_024 * 1_024;
/// The number of positions read at a time.
pub(crate) const RANGE: i64 = 4_000;
/// The number of ranges that are read ahead concurrently.
pub(crate) const READ_AHEAD: usize = 4;
/// The default memory limit for rows, in MiB.
pub const ROW_MEMORY_MIB: usize = 128;

/// Why the log could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log could not be read.
    #[error("the event store failed")]
    Store(#[from] StoreError),
    /// The keys of personal data could not be read.
    #[error("the keys of personal data cannot be read")]
    Keys(#[from] KeyError),
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// An event could not be read, or makes no sense for its row.
    #[error("the event at position {0} cannot be read or folded")]
    Event(Position, #[source] Reason),
    /// The log's event at this position is not the one that was projected.
    #[error(
        "the event at position {0} of the log is not the one that was projected, so the log has \
            another history"
    )]
    OtherHistory(Position),
    /// A task panicked.
    #[error("a task that read the log panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<WriteError> for ReplayError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fold(position, reason) => Self::Event(position, reason),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// The log as one projection reads it.
pub(crate) struct Source {
    log: UpcastingLog,
    vault: Option<Arc<Vault>>,
    projection: Arc<dyn AnyProjection>,
    types: Vec<EventType>,
}

/// A page of events, ready to be folded.
pub(crate) struct Page {
    /// The last position that the page covers.
    pub(crate) to: Position,
    pub(crate) prepared: Prepared,
}

impl Source {
    pub(crate) fn new(
        log: UpcastingLog,
        vault: Option<Arc<Vault>>,
        projection: Arc<dyn AnyProjection>,
    ) -> Arc<Self> {
        let types = projection.reads(log.registry());
        Arc::new(Self { log, vault, projection, types })
    }

    /// The dependencies for reading parked events again.
    pub(crate) fn reread(&self) -> Reread {
        Reread { log: self.log.clone(), vault: self.vault.clone() }
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        self.log.store().as_ref()
    }

    pub(crate) fn projection(&self) -> &Arc<dyn AnyProjection> {
        &self.projection
    }

    /// The head of the log and the id of its history.
    pub(crate) async fn head(&self) -> Result<Head, ReplayError> {
        Ok(self.log.store().head().await?)
    }

    /// The event at a position. It proves which history the position belongs to.
    pub(crate) async fn mark(&self, position: Position) -> Result<EventRef, ReplayError> {
        self.log.store().event_ref_at(position).await?.ok_or(ReplayError::OtherHistory(position))
    }

    /// Reads the stored events at these positions without their payloads, because there may be
    /// many.
    pub(crate) async fn events_at(
        &self,
        positions: impl Iterator<Item = Position>,
    ) -> Result<Vec<RecordedEvent>, ReplayError> {
        let mut events = Vec::new();
        for Position(position) in positions {
            let found = self.log.store().read(&Filter::All, Position(position - 1), 1).await?;
            events.extend(
                found
                    .into_iter()
                    .map(|event| RecordedEvent { data: RawValue::NULL.to_owned(), ..event }),
            );
        }
        Ok(events)
    }

    /// Checks that the log is the one that was projected.
    pub(crate) async fn prove(&self, mark: EventRef) -> Result<(), ReplayError> {
        if self.mark(mark.position).await? == mark {
            Ok(())
        } else {
            Err(ReplayError::OtherHistory(mark.position))
        }
    }

    /// Streams the events after one position up to another, in order. `range` is the number of
    /// positions per read, and `ahead` the number of ranges read ahead. The log must reach `to`.
    ///
    /// Bytes also end a page. Only the first page of each range is read ahead, which bounds the
    /// memory.
    pub(crate) fn pages(
        self: &Arc<Self>,
        after: Position,
        to: Position,
        (range, ahead): (i64, usize),
    ) -> BoxStream<'static, Result<Page, ReplayError>> {
        let source = Arc::clone(self);
        let starts = (after.0..to.0).step_by(usize::try_from(range).unwrap_or(usize::MAX));
        stream::iter(starts)
            .map(move |start| {
                let (source, end) = (Arc::clone(&source), Position((start + range).min(to.0)));
                let first = source.read(Position(start), end);
                async move { source.range(first.await, end) }
            })
            .buffered(ahead)
            .flatten()
            .boxed()
    }

    /// Streams the pages of a range whose first page was read.
    fn range(
        self: Arc<Self>,
        first: Result<Page, ReplayError>,
        end: Position,
    ) -> BoxStream<'static, Result<Page, ReplayError>> {
        stream::unfold((self, Some(first)), move |(source, next)| async move {
            let page = next?;
            let more_after = page.as_ref().ok().map(|page| page.to).filter(|to| *to < end);
            let following = match more_after {
                Some(to) => Some(source.read(to, end).await),
                None => None,
            };
            Some((page, (source, following)))
        })
        .boxed()
    }

    /// Reads a page in a separate task, which ends when its caller stops waiting. Otherwise it
    /// would keep a connection that another read needs.
    fn read(
        self: &Arc<Self>,
        after: Position,
        end: Position,
    ) -> impl Future<Output = Result<Page, ReplayError>> + use<> {
        let source = Arc::clone(self);
        let reading =
            AbortOnDropHandle::new(tokio::spawn(async move { source.page(after, end).await }));
        async move { reading.await? }
    }

    async fn page(&self, after: Position, end: Position) -> Result<Page, ReplayError> {
        let mut events = self.log.store().read_range(&self.types, after, end).await?;
        let last = events.last().map(|event| event.position);
        let to = last.filter(|_| !is_last_page(&events, MAX_PAGE)).unwrap_or(end);
        if let Some(vault) = &self.vault {
            // Values that cannot be decrypted stay encrypted. If the projection reads one, the
            // event counts as unreadable below.
            vault.reveal(&mut events).await?;
        }
        let mut prepared = self.projection.prepare(self.log.registry(), &events, Partitions::ALL);
        match prepared.unreadable.take() {
            Some((position, reason)) => Err(ReplayError::Event(position, reason)),
            None => Ok(Page { to, prepared }),
        }
    }
}
