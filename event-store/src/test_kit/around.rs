//! A store for tests that does something else around its appends and its reads of streams.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Append, AppendOutcome, Epoch, EventRef, EventStore, Filter, Head, Idempotency, MemoryStore,
    Position, RecordedEvent, ReservedValue, StoreError, StreamName, Version, WrittenType,
};

/// A store in memory that interferes. Every type that implements this is an [`EventStore`], so a
/// test writes only what is special about its own store.
#[async_trait]
pub trait Interfering: Send + Sync + 'static {
    /// The store that keeps the events.
    fn inner(&self) -> &MemoryStore;

    /// Appends, and does what the test wants around it.
    ///
    /// # Errors
    /// Those of the store, and those that the test wants.
    async fn on_append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        self.inner().append(append).await
    }

    /// Reads a stream, and does what the test wants around it.
    ///
    /// # Errors
    /// Those of the store, and those that the test wants.
    async fn on_read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner().read_stream(stream, after, limit).await
    }
}

#[async_trait]
impl<T: Interfering> EventStore for T {
    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        self.on_append(append).await
    }

    async fn repeated(&self, key: &Idempotency) -> Result<Option<AppendOutcome>, StoreError> {
        self.inner().repeated(key).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.inner().head().await
    }

    fn known_position(&self) -> Position {
        self.inner().known_position()
    }

    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError> {
        self.inner().event_ref_at(position).await
    }

    async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        self.inner().descends_from(epoch).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.on_read_stream(stream, after, limit).await
    }

    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner().read_stream_backward(stream, before, limit).await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner().read(filter, after, limit).await
    }

    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError> {
        self.inner().reservation_owners(reservations).await
    }

    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError> {
        self.inner().written_types().await
    }

    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError> {
        self.inner().reservations_of(id, limit).await
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>> {
        self.inner().subscribe(filter, after)
    }
}
