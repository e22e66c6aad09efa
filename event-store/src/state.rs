//! The state of a stream, worked out from its events: with what is cached and what was kept as a
//! snapshot, so that only what is newer is read. Both are short cuts to the same answer: a state is
//! always the fold of the stream's events up to its version.
//!
//! A cached state may be old: newer events are read on top of it, and the append checks the
//! version. A snapshot is written in the background and ignored when its shape, its epoch or the
//! event at its position does not match. A state with personal data stays in memory only as long
//! as the keys of all its subjects, and goes as soon as the process hears of an erasure; its
//! snapshot is encrypted under a key made from all of theirs, so an erasure ends both. Any stream
//! can be loaded as of a version, a position or a time.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::cache::{CacheLimits, StateCache};
use crate::erasure::Vault;
use crate::erasure::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, Position, RecordedEvent};
use crate::pulse::Task;
use crate::registry::Unreadable;
use crate::snapshot::SnapshotStore;
use crate::stream::{StreamName, Version};
use crate::telemetry;
use crate::upcasting::{StreamPage, UpcastingError, UpcastingLog};

mod ahead;
mod as_of;
mod from_snapshot;
mod keeper;
mod shared;

pub use as_of::AsOf;
use keeper::Keeper;
use shared::Rounds;

/// How many events of a stream are read at a time. A stream with fewer never needs a snapshot.
const PAGE: u32 = 200;

/// What a stream comes to.
pub trait StreamState: Default + Clone + Send + Sync + 'static {
    /// Why an event makes no sense to it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The version of the state's shape and of all that it is worked out by (its fold, the
    /// upcasters): a state that was kept under another is never used. `None`: it is neither cached
    /// nor kept as a snapshot.
    ///
    /// A state may have personal data: it is let go of when a subject whose values stand in its
    /// events is erased, and its snapshot is encrypted under their keys, which the store's
    /// [`Vault`] has. Without one it is neither cached nor kept, as one of more than 64 subjects.
    const SHAPE: Option<i32>;

    /// The state after an event; it is never given the one that closes the stream.
    ///
    /// # Errors
    /// The event cannot be of this stream.
    fn apply(self, event: &RecordedEvent) -> Result<Self, Self::Error>;

    /// The state as JSON, for a snapshot.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self) -> Result<Box<RawValue>, serde_json::Error>;

    /// Reads what [`StreamState::write`] wrote.
    ///
    /// # Errors
    /// It is not such a state.
    fn read(state: &RawValue) -> Result<Self, serde_json::Error>;

    /// About how many bytes it holds on the heap.
    fn heap_bytes(&self) -> usize;
}

/// A state and the last stored event in it.
#[derive(Debug, Clone)]
pub struct Current<S> {
    /// The state; the default one when there is no event.
    pub state: S,
    /// The version of the stream.
    pub version: Version,
    /// The last event.
    pub last: EventRef,
    /// The newest version that was kept as a snapshot, or is about to be, as far as is known here.
    pub(crate) kept: Version,
    /// Whose values could be read in the events that it was worked out from.
    pub(crate) personal: Personal,
}

impl<S: Default> Default for Current<S> {
    fn default() -> Self {
        Self {
            state: S::default(),
            version: Version::NONE,
            last: EventRef::START,
            kept: Version::NONE,
            personal: Personal::default(),
        }
    }
}

/// When a state is kept as a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// After so many events since the last one.
    pub every: i64,
    /// Or when to load it took so long, and at least [`SnapshotPolicy::least`] events came since
    /// the last one.
    pub slow: Duration,
    /// See [`SnapshotPolicy::slow`].
    pub least: i64,
}

impl Default for SnapshotPolicy {
    /// Every 200 events; from 50 events on when to load them took 50 ms.
    fn default() -> Self {
        Self { every: 200, slow: Duration::from_millis(50), least: 50 }
    }
}

/// Why a state could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E: std::error::Error + 'static> {
    /// The store gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event is of a version that this program does not know, or not of the shape of its
    /// version.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// An event makes no sense to the state.
    #[error("the event at position {position} cannot be applied")]
    Apply {
        /// Where the event stands in the log.
        position: Position,
        /// What the state says of it.
        #[source]
        source: E,
    },
}

impl<E: std::error::Error + 'static> From<UpcastingError> for StateError<E> {
    fn from(error: UpcastingError) -> Self {
        match error {
            UpcastingError::Store(error) => Self::Store(error),
            UpcastingError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}

/// Loads states. Cheap to clone; clones share the cache and what is loaded at once.
#[derive(Clone)]
pub struct StateLoader {
    log: UpcastingLog,
    cache: Arc<StateCache>,
    rounds: Rounds,
    snapshots: Option<(Arc<dyn SnapshotStore>, Keeper)>,
}

impl StateLoader {
    /// States of the streams of `log`, with a cache and without snapshots.
    pub fn new(log: UpcastingLog, limits: CacheLimits) -> Self {
        let cache = Arc::new(StateCache::new(limits));
        if let Some(vault) = log.store().vault() {
            let holder: Weak<StateCache> = Arc::downgrade(&cache);
            vault.tell(holder);
        }
        Self { log, cache, rounds: Rounds::default(), snapshots: None }
    }

    /// Takes snapshots and uses them. Call it inside a tokio runtime: a task keeps them, next to
    /// whoever loads.
    #[must_use]
    pub fn with_snapshots(mut self, store: Arc<dyn SnapshotStore>, policy: SnapshotPolicy) -> Self {
        let keeper = Keeper::start(Arc::clone(&store), self.vault().cloned(), policy);
        self.snapshots = Some((store, keeper));
        self
    }

    /// The task that keeps snapshots, if they are kept.
    pub fn task(&self) -> Option<Task> {
        self.snapshots.as_ref().map(|(_, keeper)| keeper.task())
    }

    /// The log that the states are worked out from.
    pub const fn log(&self) -> &UpcastingLog {
        &self.log
    }

    /// The states in memory.
    pub fn cache(&self) -> &StateCache {
        &self.cache
    }

    fn vault(&self) -> Option<&Arc<Vault>> {
        self.log.store().vault()
    }

    /// The state of a stream now: never one from before the call. `epoch` is the history that the
    /// caller appends to: no state of another is used. Who asks for one stream at once shares a
    /// load (`state/shared.rs`).
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn load<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
    ) -> Result<Current<S>, StateError<S::Error>> {
        let load = || {
            let (states, stream) = (self.clone(), stream.clone());
            async move { states.load_alone(&stream, epoch).await }
        };
        self.rounds.load(stream, epoch, load).await
    }

    async fn load_alone<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
    ) -> Result<Current<S>, StateError<S::Error>> {
        let started = Instant::now();
        let cached = if S::SHAPE.is_some() { self.cached(stream, epoch).await? } else { None };
        telemetry::state_loaded(S::SHAPE.map(|_| cached.is_some()));
        let before = cached.as_ref().map(|cached: &Current<S>| (cached.version, cached.kept));
        let may_skip = before.is_none();
        let mut current =
            self.fold(stream, epoch, cached.unwrap_or_default(), may_skip, None).await?;
        if S::SHAPE.is_none()
            || current.version == Version::NONE
            || !self.may_hold(&current.personal)
        {
            return Ok(current);
        }
        if let Some((_, keeper)) = &self.snapshots {
            keeper.consider(stream, epoch, &mut current, started.elapsed());
        }
        if before != Some((current.version, current.kept)) {
            self.put(stream, epoch, &current);
        }
        Ok(current)
    }

    /// The state in memory, unless somebody whose values are in it is erased: it is shown only as
    /// long as its events could be.
    async fn cached<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
    ) -> Result<Option<Current<S>>, StoreError> {
        let Some(cached) = self.cache.get::<S>(stream, epoch) else { return Ok(None) };
        if self.may_show(&cached.personal).await? {
            return Ok(Some(cached));
        }
        self.cache.remove(stream);
        Ok(None)
    }

    fn put<S: StreamState>(&self, stream: &StreamName, epoch: Epoch, current: &Current<S>) {
        self.cache.put(stream, epoch, current.clone(), current.state.heap_bytes());
        // Whoever was found to be erased since the events were read was not found here.
        if let (Some(vault), Some(subjects)) = (self.vault(), current.personal.subjects())
            && vault.knows_erased(subjects)
        {
            self.cache.remove(stream);
        }
        telemetry::cache_holds(self.cache.size());
    }

    /// Whether a state with these values may be held in memory or kept: whether an erasure would
    /// reach it there.
    fn may_hold(&self, personal: &Personal) -> bool {
        personal.subjects().is_some_and(|subjects| subjects.is_empty() || self.vault().is_some())
    }

    /// The state of a stream as it was then.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn load_as_of<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        as_of: AsOf,
    ) -> Result<Current<S>, StateError<S::Error>> {
        self.fold(stream, epoch, Current::default(), true, Some(as_of)).await
    }

    /// Applies what is newer. A snapshot, where one may be used, is looked for once there is more
    /// than a page.
    async fn fold<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        mut current: Current<S>,
        mut may_skip: bool,
        as_of: Option<AsOf>,
    ) -> Result<Current<S>, StateError<S::Error>> {
        loop {
            let StreamPage { events, last, is_last, personal } = match as_of {
                Some(as_of) => {
                    self.log.read_stream_as_of(stream, current.version, PAGE, as_of).await?
                }
                None => self.log.read_stream(stream, current.version, PAGE).await?,
            };
            // That the stream is closed is the store's word and no part of the state: an append
            // will be told.
            for event in events.iter().filter(|event| !event.event_type.closes_stream()) {
                let applied = std::mem::take(&mut current.state).apply(event);
                current.state = applied
                    .map_err(|source| StateError::Apply { position: event.position, source })?;
            }
            current.personal.add_all(&personal);
            // Of the stream, not of the last event: what is stored last may mean nothing any more.
            (current.version, current.last) = last.unwrap_or((current.version, current.last));
            if is_last {
                return Ok(current);
            }
            if std::mem::take(&mut may_skip)
                && let Some(kept) = self.snapshot::<S>(stream, epoch).await
                && kept.version > current.version
                && as_of.is_none_or(|as_of| as_of.includes_all(kept.version, kept.last))
            {
                telemetry::snapshot("used");
                current = kept;
            }
        }
    }
}
