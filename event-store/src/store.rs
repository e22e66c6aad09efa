//! The store as its users see it. Postgres and memory stand behind it and pass the same contract.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::append::{Append, AppendOutcome, Idempotency, Refusal, ReservedValue};
use crate::erasure::Vault;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, EventType, Position, RecordedEvent};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::stream::{StreamName, Version};

/// The most events that one page of a read holds.
pub const MAX_PAGE: u32 = 10_000;

/// About the most bytes that one page of a read holds: it ends with the event whose
/// [`RecordedEvent::bytes`] fill it, at the earliest after one event.
///
/// Memory is bounded in bytes, not in events: whoever reads the log (a rebuild, a verification, a
/// follower, the relay) holds a few pages, whatever the size of the events.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Whether a read that was asked for `limit` events had no more of them when it gave this page,
/// rather than that the page is full.
pub fn is_last_page(page: &[RecordedEvent], limit: u32) -> bool {
    page.len() < limit.min(MAX_PAGE) as usize
        && page.iter().map(|event| event.bytes as usize).sum::<usize>() < MAX_PAGE_BYTES
}

/// The head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The epoch: the history that the log is in.
    pub epoch: Epoch,
    /// Its last event.
    pub mark: EventRef,
}

/// An append-only log of events with optimistic concurrency.
///
/// Reads give pages, which end by number and by bytes ([`MAX_PAGE`], [`MAX_PAGE_BYTES`]):
/// [`is_last_page`] tells whether there was more.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends, all or nothing. See [`Append`] for what can be required.
    ///
    /// Appends to one stream that are first polled one after the other are made in that order,
    /// where nothing is refused: so each may stand behind the one before
    /// ([`ExpectedVersion::Behind`]) without waiting for its answer. A store that must first ask
    /// somebody (for keys, say) may let one overtake another; it is then refused.
    ///
    /// [`ExpectedVersion::Behind`]: crate::ExpectedVersion::Behind
    ///
    /// A caller may drop the future: the append then goes on to its end or is never sent.
    ///
    /// # Errors
    /// [`StoreError`]; a refusal is an outcome, not an error.
    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError>;

    /// What came of an earlier append under this key, looked up before load and decide.
    ///
    /// Only `key` and `request_hash` are looked at. `None`: no such append. `Refused(KeyReused)`:
    /// another request's. What is found is as safe as an append that was acknowledged just now,
    /// also where that takes a standby.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError>;

    /// The log's epoch and last event.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self) -> Result<Head, StoreError>;

    /// The id of the event at a position, for the proof of continuity; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError>;

    /// Whether the log is or was in this epoch, or goes on in place of a copy that was: what stands
    /// under another epoch than the current one is then of its past, and else of a history that it
    /// knows nothing of.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        Ok(self.head().await?.epoch == epoch)
    }

    /// Up to `limit` events of a stream with a version above `after`, ascending. A `limit` above
    /// [`MAX_PAGE`] is taken for that.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Up to `limit` events of a stream with a version below `before` (`None`: from the end),
    /// descending. A `limit` above [`MAX_PAGE`] is taken for that.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Up to `limit` events after a position that match the filter, ascending. A `limit` above
    /// [`MAX_PAGE`] is taken for that.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// A page of the events of these types after a position and up to another one, ascending, for
    /// who folds the whole log by ranges of at most [`MAX_PAGE`] positions.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_range(
        &self,
        types: &[EventType],
        after: Position,
        to: Position,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut events = self.read(&Filter::Types(types.to_vec()), after, MAX_PAGE).await?;
        events.truncate(events.partition_point(|event| event.position <= to));
        Ok(events)
    }

    /// The stream that holds each of these values, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError>;

    /// What refuses the append whatever the log holds, if anything does: values of an erased
    /// subject, say. Nothing is changed by asking.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn refused_for_its_content(
        &self,
        _append: &Append,
    ) -> Result<Option<Refusal>, StoreError> {
        Ok(None)
    }

    /// What encrypts and reveals personal data in front of this store, if anything does.
    fn vault(&self) -> Option<&Arc<Vault>> {
        None
    }

    /// Every event type and version that the log holds, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError>;

    /// Up to `limit` of the reservations that streams with this id hold, whatever their category,
    /// each with its owner.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError>;

    /// Events after a position that match the filter, without an end: goes on live once it has
    /// caught up.
    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>>;
}
