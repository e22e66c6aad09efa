//! Commands on one aggregate take turns, so many of them can share a batch. A command that changes
//! several aggregates takes a turn on each, in the sequence of `use_case/turns.rs`.
//!
//! Each command is decided on the state that the one before it will leave. Its append is in flight
//! before the next one's turn starts. Only the decisions happen one by one; the appends are in
//! flight together.
//!
//! The store keeps this correct. An append that was decided on an event in flight names that event
//! ([`ExpectedVersion::Behind`](event_store::ExpectedVersion::Behind)). The store refuses the
//! append unless that event is the last one of the stream by then. Everything here is only for
//! speed and fairness:
//! - A *chain* is a row of appends, each behind the one before. It breaks at the first append that
//!   fails. The ones behind it lose their race and are decided again, on the state in the store.
//! - A chain ends after a while, and the next one starts with a read from the store. This gives
//!   other processes a fair chance.
//! - A refusal that depends on a state ahead of the log counts only after that state is in the log
//!   ([`Base::came_about`]).
//! - A cancelled command gives up its turn and breaks its chain.
//!
//! There are limits on the commands in one line, on each wait for a turn, and on the bytes of the
//! states ahead of the log. If there is no room for a state, the turn ends only with the answer to
//! the append.
//!
//! A command that names a version (`If-Match`) takes no turn: its caller has already decided what
//! it must follow. Commands that load one stream at the same time share one load, see
//! `event-store/src/state/shared.rs`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_store::{
    AppendOutcome, Current, Epoch, EventRef, Position, StateLoader, StoreError, StreamName,
    StreamState,
};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::RepositoryError;

#[cfg(test)]
mod tests;

/// The maximum number of commands on one aggregate that wait for a turn or are in flight.
pub const MAX_IN_LINE: usize = 1_024;
/// The maximum wait of a command for its turn.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The maximum number of appends in a chain: as many as share a batch.
const MAX_LINKS: usize = 512;
/// The maximum age of a chain. After it, the next command reads from the store.
const MAX_CHAIN_AGE: Duration = Duration::from_millis(50);
/// The maximum size of all states ahead of the log, in kibibytes.
const MAX_AHEAD_KIB: usize = 64 * 1_024;

/// The lines of all aggregates. A line exists only while commands are in it.
#[derive(Clone)]
pub(super) struct Lines {
    lines: Arc<Mutex<HashMap<StreamName, Arc<Line>>>>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Line {
    /// The number of commands in the line. It changes only while the map is locked.
    present: AtomicUsize,
    turns: Arc<Turns<()>>,
    /// The state that the last append in flight will leave.
    ahead: Mutex<Option<Ahead>>,
}

/// A state ahead of the log: the append that leaves it is still in flight.
#[derive(Clone)]
struct Ahead {
    state: Arc<dyn Any + Send + Sync>,
    epoch: Epoch,
    base: Base,
    _room: Arc<OwnedSemaphorePermit>,
}

/// An append in flight, as seen by the commands that were decided on its state.
#[derive(Clone)]
pub(crate) struct Base {
    /// Whether the append succeeded. `None` while that is unknown.
    made: watch::Receiver<Option<bool>>,
    chain: Arc<Chain>,
}

struct Chain {
    began: Instant,
    links: AtomicUsize,
    /// Whether an append of the chain failed. It changes only while the line's state is locked.
    broken: AtomicBool,
}

/// A place in a line, given back when dropped.
struct Place {
    lines: Lines,
    stream: StreamName,
    line: Arc<Line>,
}

/// The right to decide on the state of an aggregate.
pub(crate) struct Turn {
    place: Place,
    guard: OwnedMutexGuard<()>,
    base: Option<Base>,
}

/// The state in which an append leaves its aggregate.
pub(super) enum Leaves {
    /// The same state, because the append has no event.
    Same,
    /// This state, which the next command may decide on.
    State(Next),
    /// Unknown until the events are read.
    Unknown,
}

impl std::fmt::Debug for Leaves {
    /// Hides the state, because it may contain personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Same => "Same",
            Self::State(_) => "State",
            Self::Unknown => "Unknown",
        })
    }
}

/// Stores a state in memory after the append that leaves it has succeeded, with the position of the
/// stream's last event.
type Confirm = Box<dyn FnOnce(&StateLoader, &StreamName, Epoch, Position) + Send + Sync>;

/// The state that an append leaves, and the function that stores it in memory afterwards.
pub(super) struct Next {
    state: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    /// The number of events that the append has after those of this stream.
    events_after: i64,
    confirm: Confirm,
}

/// An append in flight, as seen by its sender.
pub(super) struct Link {
    place: Place,
    epoch: Epoch,
    chain: Arc<Chain>,
    made: watch::Sender<Option<bool>>,
    next: Option<Next>,
    /// The turn itself, if no other command may decide before the answer arrives.
    guard: Option<OwnedMutexGuard<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds one of these locks can leave the data half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Lines {
    fn default() -> Self {
        Self { lines: Arc::default(), room: Arc::new(Semaphore::new(MAX_AHEAD_KIB)) }
    }
}

impl Lines {
    /// Waits for a turn, after all commands that came before.
    pub(super) async fn turn(&self, stream: StreamName) -> Result<Turn, RepositoryError> {
        let place = self.join(stream)?;
        let guard = timeout(MAX_WAIT, Arc::clone(&place.line.turns).lock_owned()).await;
        Ok(Turn { guard: guard.map_err(|_| RepositoryError::Crowded)?, place, base: None })
    }

    fn join(&self, stream: StreamName) -> Result<Place, RepositoryError> {
        let mut lines = locked(&self.lines);
        let line = Arc::clone(lines.entry(stream.clone()).or_default());
        if line.present.load(Ordering::Relaxed) == MAX_IN_LINE {
            return Err(RepositoryError::Crowded);
        }
        line.present.fetch_add(1, Ordering::Relaxed);
        drop(lines);
        Ok(Place { lines: self.clone(), stream, line })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = locked(&self.lines.lines);
        if self.line.present.fetch_sub(1, Ordering::Relaxed) == 1 {
            lines.remove(&self.stream);
        }
    }
}

impl Chain {
    fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            links: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        })
    }

    fn is_over(&self) -> bool {
        self.links.load(Ordering::Relaxed) >= MAX_LINKS || self.began.elapsed() >= MAX_CHAIN_AGE
    }
}

impl Base {
    /// Whether the append succeeded. Waits until that is known.
    pub(crate) async fn came_about(&self) -> bool {
        self.made.clone().wait_for(Option::is_some).await.is_ok_and(|made| *made == Some(true))
    }

    fn is(&self, made: &watch::Sender<Option<bool>>) -> bool {
        self.made.same_channel(&made.subscribe())
    }
}

impl Leaves {
    /// Notes that the append has this many more events after those of this stream.
    pub(super) fn precede(&mut self, events: usize) {
        if let Self::State(next) = self {
            let events = i64::try_from(events).unwrap_or(i64::MAX);
            next.events_after = next.events_after.saturating_add(events);
        }
    }
}

impl Turn {
    /// The stream of the aggregate.
    pub(super) const fn stream(&self) -> &StreamName {
        &self.place.stream
    }

    /// The state that the append before will leave, if that append is still in flight. With `None`,
    /// read from the store.
    pub(super) async fn ahead<S: StreamState>(
        &mut self,
        epoch: Epoch,
        states: &StateLoader,
    ) -> Result<Option<Current<S>>, StoreError> {
        loop {
            let Some(ahead) = locked(&self.place.line.ahead).clone() else { return Ok(None) };
            let usable = ahead.epoch == epoch && !ahead.base.chain.is_over();
            if let Some(state) = ahead.state.downcast_ref::<Current<S>>().filter(|_| usable)
                && states.may_use(state).await?
            {
                self.base = Some(ahead.base);
                return Ok(Some(state.clone()));
            }
            // The sender of that append first removes this state and then reports the outcome.
            ahead.base.came_about().await;
        }
    }

    /// Ends the turn without an append. Returns the append that the decision was based on.
    pub(crate) fn end(self) -> Option<Base> {
        self.base
    }

    /// Ends the turn after the append is sent, so the next command can decide. The turn continues
    /// if the next state is unknown or has no room.
    pub(super) fn pass_on(self, epoch: Epoch, leaves: Leaves) -> Link {
        let Self { place, guard, base } = self;
        let made = watch::Sender::new(None);
        let chain = base.map_or_else(Chain::begin, |base| base.chain);
        chain.links.fetch_add(1, Ordering::Relaxed);
        let (guard, next) = match leaves {
            Leaves::Same => (None, None),
            Leaves::Unknown => (Some(guard), None),
            Leaves::State(next) => match place.room_for(&next) {
                None => (Some(guard), Some(next)),
                Some(room) => {
                    let base = Base { made: made.subscribe(), chain: Arc::clone(&chain) };
                    let mut ahead = locked(&place.line.ahead);
                    // Behind a break the append is already lost, so the next command reads from the
                    // store.
                    if !chain.broken.load(Ordering::Relaxed) {
                        *ahead = Some(Ahead {
                            state: Arc::clone(&next.state),
                            epoch,
                            base,
                            _room: Arc::new(room),
                        });
                    }
                    (None, Some(next))
                }
            },
        };
        if guard.is_some() {
            // The state in `ahead` is now outdated. If its append were answered after this one, it
            // would be taken for the newest.
            *locked(&place.line.ahead) = None;
        }
        Link { place, epoch, chain, made, next, guard }
    }
}

impl Place {
    fn room_for(&self, next: &Next) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(next.bytes / 1_024 + 1).ok()?;
        Arc::clone(&self.lines.room).try_acquire_many_owned(kib).ok()
    }
}

impl Next {
    pub(super) fn of<S: StreamState>(next: Current<S>) -> Self {
        let bytes = size_of::<Current<S>>() + next.state.heap_bytes();
        let state = Arc::new(next);
        let confirmed = Arc::clone(&state);
        let confirm = move |states: &StateLoader, stream: &StreamName, epoch, position| {
            let last = EventRef { position, event_id: confirmed.last.event_id };
            states.confirm(stream, epoch, Current::clone(&confirmed), last);
        };
        Self { state, bytes, events_after: 0, confirm: Box::new(confirm) }
    }
}

impl Link {
    /// Reports the outcome of the append to the commands that were decided on its state.
    pub(super) fn settle<E>(mut self, outcome: &Result<AppendOutcome, E>, states: &StateLoader) {
        let Ok(AppendOutcome::Appended(appended)) = outcome else { return };
        if let Some(next) = self.next.take().filter(|_| self.is_newest()) {
            // Store it in memory before it is removed here. A command that finds nothing here then
            // finds it there.
            // The events of an append have successive positions.
            let last = Position(appended.last.position.0 - next.events_after);
            (next.confirm)(states, &self.place.stream, self.epoch, last);
            let mut ahead = locked(&self.place.line.ahead);
            ahead.take_if(|ahead| ahead.base.is(&self.made));
        }
        self.made.send_replace(Some(true));
    }

    fn is_newest(&self) -> bool {
        // This append kept its turn, so no other command was decided in the meantime.
        self.guard.is_some()
            || locked(&self.place.line.ahead)
                .as_ref()
                .is_some_and(|ahead| ahead.base.is(&self.made))
    }
}

impl Drop for Link {
    /// The append failed or its outcome is unknown, so all commands behind it read from the store.
    fn drop(&mut self) {
        if self.made.borrow().is_some() {
            return;
        }
        let mut ahead = locked(&self.place.line.ahead);
        self.chain.broken.store(true, Ordering::Relaxed);
        ahead.take_if(|ahead| Arc::ptr_eq(&ahead.base.chain, &self.chain));
        drop(ahead);
        self.made.send_replace(Some(false));
    }
}
