//! Commands on one aggregate take turns. Each is decided on the state that the one before it will
//! leave, and is on its way before the next one's turn, so that many share a batch.
//!
//! Only deciding is done in turn; the appends are under way together. What keeps that right is the
//! store: an append that was decided on an event which is on its way names that event
//! ([`ExpectedVersion::Behind`](event_store::ExpectedVersion::Behind)), and is refused unless it is
//! the stream's last by then. Here are short cuts and politeness alone:
//! - a *chain* is a row of appends, each behind the one before. It breaks at the first that is not
//!   made; those behind it lose their race and are decided again, on what the store then says;
//! - a chain ends after a while, and the next begins with a look at the store: another process then
//!   has as good a chance;
//! - a refusal that rests on a state ahead of the log counts once that state has come about
//!   ([`Base::came_about`]);
//! - a command that is cancelled gives up its turn and breaks its chain.
//!
//! Bounded: how many stand in one line, how long each waits for its turn, and the bytes of the
//! states ahead of the log. Where there is no room for one, the turn ends with the answer to the
//! append instead.
//!
//! A command that names a version (`If-Match`) takes no turn: its caller has already decided what
//! it must follow. Commands that ask for the state of one stream at the same time share one load,
//! see `event-store/src/state/shared.rs`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_store::{
    AppendOutcome, Current, Epoch, EventRef, StateLoader, StoreError, StreamName, StreamState,
};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::RepositoryError;

#[cfg(test)]
mod tests;

/// The most commands on one aggregate that wait or are on their way.
pub const MAX_IN_LINE: usize = 1_024;
/// How long a command waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The most appends of a chain: as many as share a batch.
const MAX_LINKS: usize = 512;
/// How long a chain goes on before the next command looks at the store.
const MAX_CHAIN_AGE: Duration = Duration::from_millis(50);
/// The most bytes of all states ahead of the log, in kibibytes.
const MAX_AHEAD_KIB: usize = 64 * 1_024;

/// The lines in which commands stand, one an aggregate; there is one as long as somebody stands in
/// it.
#[derive(Clone)]
pub(super) struct Lines {
    lines: Arc<Mutex<HashMap<StreamName, Arc<Line>>>>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Line {
    /// How many stand in it. Changed only with the map locked.
    present: AtomicUsize,
    turns: Arc<Turns<()>>,
    /// What the last append on its way will leave.
    ahead: Mutex<Option<Ahead>>,
}

/// A state ahead of the log.
#[derive(Clone)]
struct Ahead {
    state: Arc<dyn Any + Send + Sync>,
    epoch: Epoch,
    base: Base,
    _room: Arc<OwnedSemaphorePermit>,
}

/// An append on its way, as those know it who were decided on what it leaves.
#[derive(Clone)]
pub(crate) struct Base {
    /// Whether it was made; none while that is not known.
    made: watch::Receiver<Option<bool>>,
    chain: Arc<Chain>,
}

struct Chain {
    began: Instant,
    links: AtomicUsize,
    /// An append of it was not made. Changed only with the line's state locked.
    broken: AtomicBool,
}

/// A place in a line, given back when dropped.
struct Place {
    lines: Lines,
    stream: StreamName,
    line: Arc<Line>,
}

/// The right to decide on an aggregate's state.
pub(crate) struct Turn {
    place: Place,
    guard: OwnedMutexGuard<()>,
    base: Option<Base>,
}

/// What an append leaves its aggregate as.
pub(super) enum Leaves {
    /// As it was: it adds no event.
    Same,
    /// In this state.
    State(Next),
    /// Only its events say.
    Unknown,
}

impl std::fmt::Debug for Leaves {
    /// The state may have personal values, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Same => "Same",
            Self::State(_) => "State",
            Self::Unknown => "Unknown",
        })
    }
}

/// Puts a state into memory once the append that leaves it has come about.
type Confirm = Box<dyn FnOnce(&StateLoader, &StreamName, Epoch, EventRef) + Send + Sync>;

/// A state that an append leaves, and what puts it into memory once it has come about.
pub(super) struct Next {
    state: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    confirm: Confirm,
}

/// An append on its way, for who sent it.
pub(super) struct Link {
    place: Place,
    epoch: Epoch,
    chain: Arc<Chain>,
    made: watch::Sender<Option<bool>>,
    next: Option<Next>,
    /// Kept where nobody can be decided before the answer.
    guard: Option<OwnedMutexGuard<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done with one of these locked leaves it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Lines {
    fn default() -> Self {
        Self { lines: Arc::default(), room: Arc::new(Semaphore::new(MAX_AHEAD_KIB)) }
    }
}

impl Lines {
    /// Waits for a turn, behind everybody who came before.
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
    /// Whether the state has come about, once that is known.
    pub(crate) async fn came_about(&self) -> bool {
        self.made.clone().wait_for(Option::is_some).await.is_ok_and(|made| *made == Some(true))
    }

    fn is(&self, made: &watch::Sender<Option<bool>>) -> bool {
        self.made.same_channel(&made.subscribe())
    }
}

impl Turn {
    /// The state that the append before will leave, if it is still on its way; none: the store is
    /// to be asked.
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
            // Its sender takes it away first, then says what came of it.
            ahead.base.came_about().await;
        }
    }

    /// What it was decided on, for who is not going to append. The next one's turn begins.
    pub(crate) fn end(self) -> Option<Base> {
        self.base
    }

    /// The append is on its way. The next one's turn begins, unless nobody could be decided on what
    /// it leaves.
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
                    // Behind a break it is lost already: the next command looks at the store.
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
            // The state ahead is not the newest any more, and should its append be answered later
            // than this one, it would be taken for it.
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
        let confirm = move |states: &StateLoader, stream: &StreamName, epoch, last| {
            states.confirm(stream, epoch, Current::clone(&confirmed), last);
        };
        Self { state, bytes, confirm: Box::new(confirm) }
    }
}

impl Link {
    /// Says what came of the append to those who were decided on what it leaves.
    pub(super) fn settle<E>(mut self, outcome: &Result<AppendOutcome, E>, states: &StateLoader) {
        let Ok(AppendOutcome::Appended(appended)) = outcome else { return };
        if let Some(next) = self.next.take().filter(|_| self.is_newest()) {
            // Before it is taken away: who then finds nothing here finds it in memory.
            (next.confirm)(states, &self.place.stream, self.epoch, appended.last);
            let mut ahead = locked(&self.place.line.ahead);
            ahead.take_if(|ahead| ahead.base.is(&self.made));
        }
        self.made.send_replace(Some(true));
    }

    fn is_newest(&self) -> bool {
        // Kept its turn: nobody else was decided meanwhile.
        self.guard.is_some()
            || locked(&self.place.line.ahead)
                .as_ref()
                .is_some_and(|ahead| ahead.base.is(&self.made))
    }
}

impl Drop for Link {
    /// It was not made, or nobody knows: everyone behind it is to look at the store.
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
