//! A store that encrypts personal data on append and reveals it on read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, ReadyChunks};
use postgres_kit::Pauses;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::append::{Append, AppendOutcome, Idempotency, Refusal, ReservedValue, StreamAppend};
use crate::encryption::Vault;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, Head, Position, RecordedEvent};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::store::EventStore;
use crate::stream::{StreamName, Version};
use crate::subject::{CATEGORY as SUBJECT_CATEGORY, SUBJECT_ERASED, erased_subject};

/// The interval between queries of the log for new erasures.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum number of a subscription's events to reveal at once.
const CHUNK: usize = 256;
/// The first pause before a subscription retries a failed reveal. It doubles up to
/// [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// A store with a [`Vault`] in front. It learns of other processes' erasures within a second and
/// makes the vault forget their subjects.
pub struct EncryptingStore {
    inner: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    watching: JoinHandle<()>,
}

impl EncryptingStore {
    /// Encrypts and reveals in front of `inner`. Call it inside a tokio runtime: it starts a task
    /// that ends when the store is dropped.
    pub fn new(inner: Arc<dyn EventStore>, vault: Arc<Vault>) -> Self {
        let watching = tokio::spawn(watch(Arc::clone(&inner), Arc::clone(&vault)));
        Self { inner, vault, watching }
    }

    async fn revealed(
        &self,
        events: Result<Vec<RecordedEvent>, StoreError>,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut events = events?;
        reveal(&self.vault, &mut events).await?;
        Ok(events)
    }
}

impl Drop for EncryptingStore {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn reveal(vault: &Vault, events: &mut [RecordedEvent]) -> Result<(), StoreError> {
    match vault.reveal(events).await?.first() {
        None => Ok(()),
        Some(unreadable) => Err(StoreError::Unusable(format!(
            "a personal field of the event at position {} cannot be decrypted",
            unreadable.0
        ))),
    }
}

/// Makes the vault forget subjects that other processes erase.
async fn watch(store: Arc<dyn EventStore>, vault: Arc<Vault>) {
    let Ok(event_type) = SUBJECT_ERASED.parse() else { return };
    let filter = Filter::Types(vec![event_type]);
    let mut after: Option<(Epoch, Position)> = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let seen = async {
            let head = store.head().await?;
            match after {
                Some((epoch, position)) if epoch == head.epoch => {
                    Ok((epoch, forget_erased(store.as_ref(), &vault, &filter, position).await?))
                }
                // The key store covers earlier erasures: from here on it is asked for every key.
                _ => {
                    vault.forget_all();
                    Ok::<_, StoreError>((head.epoch, head.mark.position))
                }
            }
        };
        match seen.await {
            Ok(seen) => after = Some(seen),
            Err(error) => {
                tracing::debug!(%error, "the log could not be queried for erasures; cached \
                    keys expire anyway");
            }
        }
    }
}

async fn forget_erased(
    store: &dyn EventStore,
    vault: &Vault,
    filter: &Filter,
    after: Position,
) -> Result<Position, StoreError> {
    let page = store.read(filter, after, crate::store::MAX_PAGE).await?;
    for subject in page.iter().filter_map(erased_subject) {
        vault.forget(subject);
    }
    Ok(page.last().map_or(after, |last| last.position))
}

/// Returns the subject that these events report as erased.
fn told_erased(append: &StreamAppend) -> Option<Uuid> {
    let says_so = append.events.iter().any(|event| event.event_type.as_str() == SUBJECT_ERASED);
    if says_so && append.stream.category() == SUBJECT_CATEGORY {
        append.stream.id().parse().ok()
    } else {
        None
    }
}

#[async_trait]
impl EventStore for EncryptingStore {
    async fn append(&self, mut append: Append) -> Result<AppendOutcome, StoreError> {
        if let Some(refusal) = self.vault.encrypt(&mut append).await? {
            // A repeat gets the first answer, even if its subject was erased since.
            let repeated = match &append.idempotency {
                Some(idempotency) => self.inner.repeated(idempotency).await?,
                None => None,
            };
            return Ok(repeated.unwrap_or(AppendOutcome::Refused(refusal)));
        }
        let erased: Vec<_> = append.streams.iter().filter_map(told_erased).collect();
        let outcome = self.inner.append(append).await?;
        match &outcome {
            AppendOutcome::Appended(_) => {
                for subject in erased {
                    self.vault.forget(subject);
                }
            }
            // Another process erased the subject after this one cached its key.
            AppendOutcome::Refused(Refusal::SubjectErased { subject }) => {
                self.vault.forget(*subject);
            }
            AppendOutcome::Repeated { .. } | AppendOutcome::Refused(_) => {}
        }
        Ok(outcome)
    }

    async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        self.inner.repeated(idempotency).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
    }

    fn known_position(&self) -> Position {
        self.inner.known_position()
    }

    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError> {
        self.inner.event_ref_at(position).await
    }

    async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        self.inner.descends_from(epoch).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.revealed(self.inner.read_stream(stream, after, limit).await).await
    }

    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.revealed(self.inner.read_stream_backward(stream, before, limit).await).await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.revealed(self.inner.read(filter, after, limit).await).await
    }

    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError> {
        self.inner.reservations_of(id, limit).await
    }

    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError> {
        self.inner.reservation_owners(reservations).await
    }

    async fn refused_for_its_content(
        &self,
        append: &Append,
    ) -> Result<Option<Refusal>, StoreError> {
        let erased = self.vault.erased_among(append).await?;
        Ok(erased.map(|subject| Refusal::SubjectErased { subject }))
    }

    fn vault(&self) -> Option<&Arc<Vault>> {
        Some(&self.vault)
    }

    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError> {
        self.inner.written_types().await
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>> {
        let chunks = self.inner.subscribe(filter, after).ready_chunks(CHUNK);
        let state = Subscription {
            chunks,
            vault: Arc::clone(&self.vault),
            encrypted: Vec::new(),
            ready: VecDeque::new(),
            failed: false,
            pauses: Pauses::new(RETRY_FIRST, RETRY_MOST),
        };
        stream::unfold(
            state,
            |mut state| async move { state.next().await.map(|next| (next, state)) },
        )
        .boxed()
    }
}

/// A subscription with the events that it has read but not yet returned. An error loses nothing:
/// the next poll retries.
struct Subscription {
    chunks: ReadyChunks<BoxStream<'static, Result<RecordedEvent, StoreError>>>,
    vault: Arc<Vault>,
    encrypted: Vec<RecordedEvent>,
    ready: VecDeque<Result<RecordedEvent, StoreError>>,
    failed: bool,
    pauses: Pauses,
}

impl Subscription {
    async fn next(&mut self) -> Option<Result<RecordedEvent, StoreError>> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            if self.encrypted.is_empty() {
                for read in self.chunks.next().await? {
                    match read {
                        Ok(event) => self.encrypted.push(event),
                        // The error follows the events before it.
                        Err(error) => self.ready.push_back(Err(error)),
                    }
                }
            }
            if self.failed {
                self.pauses.wait().await;
            }
            self.failed = false;
            if let Err(error) = reveal(&self.vault, &mut self.encrypted).await {
                self.failed = true;
                return Some(Err(error));
            }
            self.pauses.reset();
            let errors = std::mem::take(&mut self.ready);
            self.ready.extend(self.encrypted.drain(..).map(Ok));
            self.ready.extend(errors);
        }
    }
}
