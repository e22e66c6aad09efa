//! The state of a stream, computed from its events.
//!
//! A cache and snapshots reduce the events to read. They never change the answer: a state is always
//! the fold of the stream's events up to its version.
//!
//! A cached state may be old. Newer events are read on top of it, and the append checks the
//! version. Snapshots are written in the background. One is ignored if its shape, its epoch or the
//! event at its position does not match.
//!
//! A state with personal data stays in memory only as long as the keys of all its subjects. It is
//! dropped as soon as the process learns of an erasure. Its snapshot is encrypted under a key
//! derived from all of their keys, so an erasure ends both. Any stream can be loaded as of a
//! version, a position or a time.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::as_of::AsOf;
use crate::encryption::Vault;
use crate::encryption::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, Position, RecordedEvent};
use crate::pulse::Task;
use crate::registry::Unreadable;
use crate::snapshot::SnapshotStore;
use crate::stream::{StreamName, Version};
use crate::telemetry;
use crate::upcasting::{StreamPage, UpcastingError, UpcastingLog};

mod ahead;
mod cache;
mod from_snapshot;
mod keeper;
mod shared;

pub use cache::CacheLimits;
use cache::StateCache;
use keeper::Keeper;
use shared::Rounds;

/// The number of events of a stream to read at a time. A shorter stream never needs a snapshot.
const PAGE: u32 = 200;

/// A state that is folded from the events of a stream.
pub trait StreamState: Default + Clone + Send + Sync + 'static {
    /// The error when an event cannot be applied.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The version of the state's shape and of the code that computes it (its fold, the upcasters).
    /// A state stored under another version is never used. `None`: the state is neither cached nor
    /// stored as a snapshot.
    ///
    /// A state may hold personal data. It is dropped when a subject whose values are in its events
    /// is erased. Its snapshot is encrypted under the subjects' keys, which come from the store's
    /// [`Vault`]. A state with personal data is neither cached nor stored without a vault, or if it
    /// has more than 64 subjects.
    const SHAPE: Option<i32>;

    /// Applies an event. It never receives the event that closes the stream.
    ///
    /// # Errors
    /// The event cannot be of this stream.
    fn apply(self, event: &RecordedEvent) -> Result<Self, Self::Error>;

    /// Writes the state as JSON, for a snapshot.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self) -> Result<Box<RawValue>, serde_json::Error>;

    /// Reads a state that [`StreamState::write`] wrote.
    ///
    /// # Errors
    /// The JSON is not such a state.
    fn read(state: &RawValue) -> Result<Self, serde_json::Error>;

    /// Returns the approximate heap size of the state, in bytes.
    fn heap_bytes(&self) -> usize;
}

/// A state and the last stored event in it.
#[derive(Debug, Clone)]
pub struct Current<S> {
    /// The state; the default one if the stream has no event.
    pub state: S,
    /// The version of the stream.
    pub version: Version,
    /// The last event.
    pub last: EventRef,
    /// The position up to which the state has every event of the stream, as far as is known: it may
    /// have later ones. A condition on the stream begins here.
    pub seen: Position,
    /// The newest version stored as a snapshot, or about to be, as far as this process knows.
    pub(crate) kept: Version,
    /// The subjects whose values were readable in the folded events.
    pub(crate) personal: Personal,
}

impl<S: Default> Default for Current<S> {
    fn default() -> Self {
        Self {
            state: S::default(),
            version: Version::NONE,
            last: EventRef::START,
            seen: Position::START,
            kept: Version::NONE,
            personal: Personal::default(),
        }
    }
}

/// The rule for when a state is stored as a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// The number of events since the last snapshot after which a new one is stored.
    pub every: i64,
    /// The load time after which a snapshot is stored, if at least [`SnapshotPolicy::least`] events
    /// were added since the last one.
    pub slow: Duration,
    /// The minimum number of events for [`SnapshotPolicy::slow`].
    pub least: i64,
}

impl Default for SnapshotPolicy {
    /// Every 200 events, or from 50 events on if the load took 50 ms.
    fn default() -> Self {
        Self { every: 200, slow: Duration::from_millis(50), least: 50 }
    }
}

/// The reason why a state could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E: std::error::Error + 'static> {
    /// The store gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event has a version that this program does not know, or not the shape of its
    /// version.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The state rejects an event.
    #[error("the event at position {position} cannot be applied")]
    Apply {
        /// The position of the event in the log.
        position: Position,
        /// The error of the state.
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

/// Loads states. It is cheap to clone; clones share the cache and concurrent loads.
#[derive(Clone)]
pub struct StateLoader {
    log: UpcastingLog,
    cache: Arc<StateCache>,
    rounds: Rounds,
    snapshots: Option<(Arc<dyn SnapshotStore>, Keeper)>,
}

impl StateLoader {
    /// Makes a loader for the streams of `log`, with a cache and without snapshots.
    pub fn new(log: UpcastingLog, limits: CacheLimits) -> Self {
        let cache = Arc::new(StateCache::new(limits));
        if let Some(vault) = log.store().vault() {
            let holder: Weak<StateCache> = Arc::downgrade(&cache);
            vault.tell(holder);
        }
        Self { log, cache, rounds: Rounds::default(), snapshots: None }
    }

    /// Adds snapshots. Call it inside a tokio runtime: a background task stores them.
    #[must_use]
    pub fn with_snapshots(mut self, store: Arc<dyn SnapshotStore>, policy: SnapshotPolicy) -> Self {
        let keeper = Keeper::start(Arc::clone(&store), self.vault().cloned(), policy);
        self.snapshots = Some((store, keeper));
        self
    }

    /// The task that stores snapshots, if snapshots are enabled.
    pub fn task(&self) -> Option<Task> {
        self.snapshots.as_ref().map(|(_, keeper)| keeper.task())
    }

    /// The log that the states are folded from.
    pub const fn log(&self) -> &UpcastingLog {
        &self.log
    }

    /// The cache of states in memory.
    pub fn cache(&self) -> &StateCache {
        &self.cache
    }

    fn vault(&self) -> Option<&Arc<Vault>> {
        self.log.store().vault()
    }

    /// Loads the current state of a stream, never one from before the call. `epoch` is the history
    /// that the caller appends to; states of other epochs are not used. Concurrent calls for one
    /// stream share a load (`state/shared.rs`).
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
        let known = self.log.store().known_position();
        let mut current =
            self.fold(stream, epoch, cached.unwrap_or_default(), may_skip, None).await?;
        current.seen = known.max(current.last.position);
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

    /// Returns the state in memory, unless a subject whose values are in it is erased. A state is
    /// shown only as long as its events could be.
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
        // This also covers a subject that was found to be erased after the events were read.
        if let (Some(vault), Some(subjects)) = (self.vault(), current.personal.subjects())
            && vault.knows_erased(subjects)
        {
            self.cache.remove(stream);
        }
        telemetry::cache_holds(self.cache.size());
    }

    /// Whether a state with these values may be cached or stored: an erasure must be able to reach
    /// it there.
    fn may_hold(&self, personal: &Personal) -> bool {
        personal.subjects().is_some_and(|subjects| subjects.is_empty() || self.vault().is_some())
    }

    /// Loads the state of a stream as of a past moment.
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

    /// Applies newer events. If a snapshot is allowed, it is looked up once there is more than one
    /// page.
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
            // That the stream is closed is not part of the state. The store refuses an append to
            // it.
            for event in events.iter().filter(|event| !event.event_type.closes_stream()) {
                let applied = std::mem::take(&mut current.state).apply(event);
                current.state = applied
                    .map_err(|source| StateError::Apply { position: event.position, source })?;
            }
            current.personal.add_all(&personal);
            // These belong to the stream, not to the last upcast event: the last stored event may
            // become none.
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
