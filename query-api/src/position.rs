//! Knowing when the read tables move: one watcher in the process wakes every query that waits for a position.
//!
//! It hears of checkpoints from NATS (`checkpoints.<projection>`), and while anybody waits it also asks the database
//! every [`POLL_EVERY`], so that neither a silent NATS nor a lagging replica keeps a query waiting. While nobody waits
//! it does nothing. A wake-up is a hint: the waiter reads again and looks for itself.

mod announced;
mod polled;

pub use announced::listen;
pub use polled::{POLL_EVERY, poll};

use std::collections::HashMap;
use std::sync::Arc;

use service_kit::consistency::ConsistencyToken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use crate::read::Projection;

/// How many queries of this process may wait at once.
pub const MAX_WAITERS: usize = 1000;

/// What was said last of each projection.
type Positions = HashMap<String, Said>;

/// Where a projection is, and in which history; none before its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct Said {
    /// The history.
    pub epoch: Option<Uuid>,
    /// The last event that it shows.
    pub position: i64,
}

/// Wakes queries that wait for a position.
#[derive(Debug, Clone)]
pub struct Watcher {
    positions: watch::Sender<Positions>,
    places: Arc<Semaphore>,
    waiters: watch::Sender<usize>,
}

/// An ear that hears every move from its making on, so that none is missed between a look and the wait for more.
#[derive(Debug)]
pub struct Ear {
    watcher: Watcher,
    projections: &'static [Projection],
    wanted: ConsistencyToken,
    positions: watch::Receiver<Positions>,
}

/// A query that waits.
#[derive(Debug)]
pub struct Waiting {
    ear: Ear,
    _place: OwnedSemaphorePermit,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            positions: watch::Sender::new(HashMap::new()),
            places: Arc::new(Semaphore::new(MAX_WAITERS)),
            waiters: watch::Sender::new(0),
        }
    }
}

impl Watcher {
    /// Hears when these projections show `wanted`.
    pub fn ear(&self, projections: &'static [Projection], wanted: ConsistencyToken) -> Ear {
        Ear { watcher: self.clone(), projections, wanted, positions: self.positions.subscribe() }
    }

    /// Somebody says that a projection shows this position. Said twice, it wakes twice: a replica may lag behind.
    pub fn moved(&self, projection: &str, said: Said) {
        self.positions.send_modify(|positions| {
            // Not the maximum of both: after a restore, positions begin anew.
            positions.insert(projection.to_owned(), said);
        });
    }

    /// How many queries wait.
    pub fn waiting(&self) -> usize {
        *self.waiters.borrow()
    }

    /// Returns as soon as anybody waits.
    async fn somebody_waits(&self) {
        // The sender lives in `self`, so this cannot fail.
        drop(self.waiters.subscribe().wait_for(|waiters| *waiters > 0).await);
    }
}

impl Ear {
    /// Whether a look would be in vain: a projection was last said to be before the wanted position, in the same history. Whoever waits
    /// is told soon if that is not so any more.
    pub fn knows_better(&self) -> bool {
        let known = self.positions.borrow();
        let before = |said: &Said| said.epoch == Some(self.wanted.epoch) && said.position < self.wanted.position;
        self.projections.iter().any(|name| known.get(*name).is_some_and(before))
    }

    /// Takes a place among those who wait; `None` if too many do.
    pub fn wait(self) -> Option<Waiting> {
        let place = Arc::clone(&self.watcher.places).try_acquire_owned().ok()?;
        self.watcher.waiters.send_modify(|waiters| *waiters += 1);
        metrics::gauge!("query_waiters").increment(1.0);
        Some(Waiting { ear: self, _place: place })
    }
}

impl Waiting {
    /// Returns when somebody says that the position is there.
    pub async fn woken(&mut self) {
        let Ear { projections, wanted, positions, .. } = &mut self.ear;
        loop {
            if positions.changed().await.is_err() {
                // The watcher is gone: only the deadline is left.
                std::future::pending::<()>().await;
            }
            let known = positions.borrow_and_update();
            if projections.iter().all(|name| known.get(*name).is_some_and(|said| said.position >= wanted.position)) {
                return;
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.ear.watcher.waiters.send_modify(|waiters| *waiters = waiters.saturating_sub(1));
        metrics::gauge!("query_waiters").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_knows_better_than_to_look_while_a_projection_of_the_same_history_is_before_the_position() {
        let (watcher, history, other) = (Watcher::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let knows_better = || {
            let wanted = ConsistencyToken { epoch: history, position: 5, event_id: Uuid::nil() };
            watcher.ear(&["orders", "users"], wanted).knows_better()
        };
        assert!(!knows_better(), "nothing was said");
        for (said, expected) in [((history, 4), true), ((history, 5), false), ((other, 4), false), ((history, 6), false)] {
            watcher.moved("users", Said { epoch: Some(said.0), position: said.1 });
            assert_eq!(knows_better(), expected, "{said:?}");
        }
        watcher.moved("orders", Said { epoch: Some(history), position: 1 });
        assert!(knows_better(), "another projection is before it");
        watcher.moved("orders", Said { epoch: None, position: 0 });
        assert!(!knows_better(), "a projection before its first event is of no history");
    }
}
