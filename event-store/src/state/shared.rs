//! Concurrent loads of one stream share one read. Separate reads of the same events would only
//! compete for connections.
//!
//! Loads run in rounds. A caller joins a round that has not begun yet, so no caller gets a state
//! older than its call. A round begins once the previous one has ended. If that one takes long (on
//! a silent connection, for example), the next waits at most [`PATIENCE`].

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Current, StateError, StreamState};
use crate::event::Epoch;
use crate::stream::StreamName;

/// The maximum time that a round waits for the previous one.
const PATIENCE: Duration = Duration::from_secs(1);

/// The result of a load.
pub(super) type Loaded<S> = Result<Current<S>, StateError<<S as StreamState>::Error>>;
/// The shared result of a round. The first caller to take the error gets it.
type Outcome<S> = Result<Current<S>, Arc<Mutex<Option<StateError<<S as StreamState>::Error>>>>>;

/// The newest round of each stream that has waiting callers.
#[derive(Clone, Default)]
pub(super) struct Rounds(Arc<Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    stream: StreamName,
    epoch: Epoch,
    state: TypeId,
}

struct Round<S: StreamState> {
    key: Key,
    rounds: Rounds,
    /// Set while the map is locked.
    has_begun: Arc<AtomicBool>,
    ended: CancellationToken,
    outcome: Shared<BoxFuture<'static, Outcome<S>>>,
}

impl Rounds {
    /// Loads together with all callers that ask for the same before the load begins. On a failure,
    /// one of them gets the error and the others load for themselves.
    pub(super) async fn load<S, F>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        load: impl Fn() -> F,
    ) -> Loaded<S>
    where
        S: StreamState,
        F: Future<Output = Loaded<S>> + Send + 'static,
    {
        let key = Key { stream: stream.clone(), epoch, state: TypeId::of::<S>() };
        let round = self.join::<S, F>(key, &load);
        let failed = match round.outcome.clone().await {
            Ok(current) => return Ok(current),
            Err(failed) => failed,
        };
        let error = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match error {
            Some(error) => Err(error),
            None => load().await,
        }
    }

    fn join<S, F>(&self, key: Key, load: impl Fn() -> F) -> Arc<Round<S>>
    where
        S: StreamState,
        F: Future<Output = Loaded<S>> + Send + 'static,
    {
        // Declared before the lock so that it is dropped after it: dropping the last reference
        // locks the map.
        let before;
        let mut newest = self.newest();
        before = newest
            .get(&key)
            .and_then(Weak::upgrade)
            .and_then(|round| round.downcast::<Round<S>>().ok());
        if let Some(round) =
            before.as_ref().filter(|round| !round.has_begun.load(Ordering::Relaxed))
        {
            return Arc::clone(round);
        }
        let ended = before.as_ref().map(|before| before.ended.clone());
        let round = Arc::new(Round::new(key.clone(), self.clone(), ended, load()));
        let held: Arc<dyn Any + Send + Sync> = Arc::<Round<S>>::clone(&round);
        newest.insert(key, Arc::downgrade(&held));
        drop(newest);
        round
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<Key, Weak<dyn Any + Send + Sync>>> {
        // No critical section panics halfway, so a poisoned map is still consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StreamState> Round<S> {
    fn new(
        key: Key,
        rounds: Rounds,
        before: Option<CancellationToken>,
        load: impl Future<Output = Loaded<S>> + Send + 'static,
    ) -> Self {
        let (has_begun, ended) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        // The load holds the guard, so a round also ends when all callers leave or it panics.
        let guard = ended.clone().drop_guard();
        let (begun, map) = (Arc::clone(&has_begun), rounds.clone());
        let outcome = async move {
            let _ended = guard;
            if let Some(before) = before {
                let _: Result<(), _> = timeout(PATIENCE, before.cancelled()).await;
            }
            {
                let _newest = map.newest();
                begun.store(true, Ordering::Relaxed);
            }
            load.await.map_err(|error| Arc::new(Mutex::new(Some(error))))
        };
        Self { key, rounds, has_begun, ended, outcome: outcome.boxed().shared() }
    }
}

impl<S: StreamState> Drop for Round<S> {
    fn drop(&mut self) {
        let mut newest = self.rounds.newest();
        if newest.get(&self.key).is_some_and(|round| round.strong_count() == 0) {
            newest.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
