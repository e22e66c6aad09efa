//! The store's interface. The Postgres store and the in-memory store pass the same contract tests.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::append::{Append, AppendOutcome, Idempotency, Refusal, ReservedValue};
use crate::encryption::Vault;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, EventType, Head, Position, RecordedEvent};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::stream::{StreamName, Version};

/// The maximum number of events in one page of a read.
pub const MAX_PAGE: u32 = 10_000;

/// The approximate maximum size of one page of a read, in bytes. A page ends with the event whose
/// [`RecordedEvent::bytes`] fill it, so it holds at least one event.
///
/// Pages are bounded in bytes because memory is. A reader of the log (a rebuild, a verification, a
/// follower, the relay) holds a few pages, whatever the size of the events.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Whether `page`, read with this `limit`, ended because no more events existed, and not because
/// the page was full.
pub fn is_last_page(page: &[RecordedEvent], limit: u32) -> bool {
    page.len() < limit.min(MAX_PAGE) as usize
        && page.iter().map(|event| event.bytes as usize).sum::<usize>() < MAX_PAGE_BYTES
}

/// An append-only log of events with optimistic concurrency.
///
/// Reads return pages, bounded by [`MAX_PAGE`] events and [`MAX_PAGE_BYTES`] bytes.
/// [`is_last_page`] tells whether more events follow.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends, all or nothing. See [`Append`] for what an append can require.
    ///
    /// Appends to one stream run in the order in which their futures are first polled, as long as
    /// none is refused. An append may therefore follow one that has no answer yet
    /// ([`ExpectedVersion::Behind`]). A store that must first fetch something (keys, for example)
    /// may let an append overtake the one that it follows; the append that overtook is then
    /// refused.
    ///
    /// [`ExpectedVersion::Behind`]: crate::ExpectedVersion::Behind
    ///
    /// A caller may drop the future. The append then either completes or is never sent.
    ///
    /// # Errors
    /// [`StoreError`]. A refusal is an outcome, not an error.
    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError>;

    /// Looks up the result of an earlier append under this idempotency key, before the caller loads
    /// and decides.
    ///
    /// Only `key` and `request_hash` are used. `None` means that no such append exists;
    /// `Refused(KeyReused)` means that another request used the key. A result found here is as
    /// durable as an append acknowledged now, including the wait for a standby where one is
    /// required.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError>;

    /// Returns the log's epoch and last event.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self) -> Result<Head, StoreError>;

    /// Returns the newest position that this process knows to be committed, without asking the log.
    /// A read of a stream that begins afterwards sees all events up to it, whatever server answers.
    /// A store that cannot promise that returns [`Position::START`].
    fn known_position(&self) -> Position {
        Position::START
    }

    /// Returns the position and id of the event at a position, to prove that two histories agree.
    /// `None` when the log has no event there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError>;

    /// Whether the log is or was in this epoch, or continues in place of a copy that was. If so,
    /// data from that epoch belongs to the log's past. Otherwise it belongs to an unknown history.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        Ok(self.head().await?.epoch == epoch)
    }

    /// Reads up to `limit` events of a stream with a version above `after`, ascending. A `limit`
    /// above [`MAX_PAGE`] is lowered to it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Reads up to `limit` events of a stream with a version below `before` (`None`: from the end),
    /// descending. A `limit` above [`MAX_PAGE`] is lowered to it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Reads up to `limit` events after a position that match the filter, ascending. A `limit`
    /// above [`MAX_PAGE`] is lowered to it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Reads one page of the events of these types after one position and up to another, ascending.
    /// It serves callers that fold the whole log in ranges of at most [`MAX_PAGE`] positions.
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

    /// Returns the stream that holds each of these values, in the order of the values.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError>;

    /// Returns the refusal that the append's content causes whatever the log holds, if any. An
    /// example is data of an erased subject. The call changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn refused_for_its_content(
        &self,
        _append: &Append,
    ) -> Result<Option<Refusal>, StoreError> {
        Ok(None)
    }

    /// The vault that encrypts and decrypts personal data in front of this store, if there is one.
    fn vault(&self) -> Option<&Arc<Vault>> {
        None
    }

    /// Returns every event type and schema version in the log, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError>;

    /// Returns up to `limit` reservations held by streams with this id, in any category, each with
    /// its owner.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError>;

    /// Subscribes to the events after a position that match the filter. The subscription never
    /// ends: it continues live once it has caught up.
    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>>;
}
