//! Wakes queries that wait for a position, when the read tables reach it. One watcher serves the
//! whole process.
//!
//! It receives checkpoints from NATS (`checkpoints.<projection>`). While a query waits, it also
//! asks the database every [`POLL_EVERY`], so neither a silent NATS nor a lagging replica can hold
//! a query up. While no query waits, it asks nothing. A wake-up is only a hint: the query reads
//! again and checks for itself.

mod announced;
mod board;
mod polled;

pub use announced::listen;
pub use polled::{POLL_EVERY, POLL_SILENCE, poll};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use board::{Board, Goal, SleeperKey, Woken};
use service_kit::consistency::ConsistencyToken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use uuid::Uuid;

use crate::scope::{Projection, ReadScope};

/// How many queries may wait at once in a process, unless it is told otherwise.
pub const MAX_WAITERS: u32 = 1000;

/// The position and epoch of a projection's partition, as of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct CheckpointUpdate {
    /// The number of the partition.
    pub partition: i32,
    /// The number of partitions in its generation.
    pub partitions: i32,
    /// The epoch, which names the history of the log. `None` before the first event.
    pub epoch: Option<Uuid>,
    /// The position up to which the partition is complete.
    pub position: i64,
}

/// Wakes queries that wait for a position. Clones share it.
#[derive(Debug, Clone)]
pub struct Watcher {
    board: Arc<Mutex<Board>>,
    places: Arc<Semaphore>,
    waiters: watch::Sender<usize>,
}

/// A subscription to checkpoint updates. Open it before the read, so no update is missed between
/// the read and the wait.
#[derive(Debug)]
pub struct Subscription {
    watcher: Watcher,
    scopes: Vec<ReadScope>,
    wanted: ConsistencyToken,
    /// The number of the last update before it.
    heard: u64,
}

/// A query that waits for a position. It holds one of the places of those who wait.
#[derive(Debug)]
pub struct Waiting {
    watcher: Watcher,
    goal: Arc<Goal>,
    /// The number of the last update that it was woken for.
    heard: u64,
    _place: OwnedSemaphorePermit,
}

/// Somebody who sleeps until a goal is reached. Dropping it ends that.
struct Asleep {
    watcher: Watcher,
    goal: Arc<Goal>,
    key: SleeperKey,
    woken: oneshot::Receiver<Woken>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new(MAX_WAITERS)
    }
}

impl Watcher {
    /// A watcher for at most so many queries that wait at once.
    pub fn new(max_waiters: u32) -> Self {
        let places = usize::try_from(max_waiters).unwrap_or(usize::MAX);
        Self {
            board: Arc::default(),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            waiters: watch::Sender::new(0),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to updates, to learn when all `scopes` show `wanted`.
    pub fn subscription(&self, scopes: Vec<ReadScope>, wanted: ConsistencyToken) -> Subscription {
        let heard = self.board().updates();
        Subscription { watcher: self.clone(), scopes, wanted, heard }
    }

    /// Reports where a partition of a projection is, and wakes the queries that wait for that.
    ///
    /// The same update wakes them again, because a replica may lag behind.
    pub fn moved(&self, projection: &str, said: CheckpointUpdate) {
        let due = self.board().moved(projection, said);
        due.wake();
    }

    /// Follows the updates of one projection.
    pub fn moves(&self, projection: Projection) -> Moves {
        Moves { projection, watcher: self.clone() }
    }

    /// The number of queries that wait.
    pub fn waiting(&self) -> usize {
        *self.waiters.borrow()
    }

    /// Waits until at least one query waits.
    async fn somebody_waits(&self) {
        // The sender lives in `self`, so this cannot fail.
        drop(self.waiters.subscribe().wait_for(|waiters| *waiters > 0).await);
    }

    /// Sleeps until an update after the one with the number `heard` reaches the goal. Returns the
    /// number of the last update, and when the one came that woke, if it slept at all.
    async fn sleep(&self, goal: &Arc<Goal>, heard: u64) -> (u64, Option<Instant>) {
        let asleep = {
            let mut board = self.board();
            let Some((key, woken)) = board.add(goal, heard) else {
                return (board.updates(), None);
            };
            Asleep { watcher: self.clone(), goal: Arc::clone(goal), key, woken }
        };
        let Woken { update, at } = asleep.woken().await;
        (update, Some(at))
    }
}

impl Asleep {
    async fn woken(mut self) -> Woken {
        match (&mut self.woken).await {
            Ok(woken) => woken,
            // A query that sleeps is on the board, so only the caller's deadline can end this.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.watcher.board().forget(&self.goal, self.key);
    }
}

impl Subscription {
    /// The same subscription for other scopes. It still has every update since it was opened.
    #[must_use]
    pub fn about(self, scopes: Vec<ReadScope>) -> Self {
        Self { scopes, ..self }
    }

    /// Whether another read is useless now: the last update of a partition in scope is before the
    /// wanted position, in the same epoch.
    ///
    /// A query that waits is woken when that changes.
    pub fn is_behind(&self) -> bool {
        self.watcher.board().is_behind(&self.scopes, &self.wanted)
    }

    /// Starts to wait. Returns `None` if as many queries wait as may.
    pub fn wait(self) -> Option<Waiting> {
        let Self { watcher, scopes, wanted, heard } = self;
        let place = Arc::clone(&watcher.places).try_acquire_owned().ok()?;
        watcher.waiters.send_modify(|waiters| *waiters += 1);
        metrics::gauge!("query_waiters").increment(1.0);
        let goal = Arc::new(Goal { scopes, position: wanted.position });
        Some(Waiting { watcher, goal, heard, _place: place })
    }
}

/// The updates of one projection.
#[derive(Debug)]
pub struct Moves {
    projection: Projection,
    watcher: Watcher,
}

impl Moves {
    /// Waits until the last update of every partition is beyond this position.
    pub async fn beyond(&self, position: i64) {
        let scopes = vec![ReadScope { projection: self.projection, row: None }];
        let goal = Arc::new(Goal { scopes, position: position.saturating_add(1) });
        // Any update that is known counts.
        self.watcher.sleep(&goal, 0).await;
    }
}

impl Waiting {
    /// Waits until updates say that the position is reached.
    pub async fn woken(&mut self) {
        let (heard, came) = self.watcher.sleep(&self.goal, self.heard).await;
        self.heard = heard;
        if let Some(came) = came {
            metrics::histogram!("query_wakeup_duration_seconds")
                .record(came.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.watcher.waiters.send_modify(|waiters| *waiters = waiters.saturating_sub(1));
        metrics::gauge!("query_waiters").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use service_kit::partition::partition_of;

    use super::*;

    #[test]
    fn a_waiter_does_not_look_while_a_projection_of_its_history_is_behind() {
        let (watcher, history, other) =
            (Watcher::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let is_behind = || {
            let wanted = ConsistencyToken { epoch: history, position: 5, event_id: Uuid::nil() };
            watcher
                .subscription(
                    ["orders", "users"]
                        .map(|projection| ReadScope { projection, row: None })
                        .into(),
                    wanted,
                )
                .is_behind()
        };
        let said =
            |epoch, position| CheckpointUpdate { partition: 0, partitions: 1, epoch, position };
        assert!(!is_behind(), "nothing was said");
        for (at, expected) in [
            ((history, 4), true),
            ((history, 5), false),
            ((other, 4), false),
            ((history, 6), false),
        ] {
            watcher.moved("users", said(Some(at.0), at.1));
            assert_eq!(is_behind(), expected, "{at:?}");
        }
        watcher.moved("orders", said(Some(history), 1));
        assert!(is_behind(), "another projection comes first");
        watcher.moved("orders", said(None, 0));
        assert!(!is_behind(), "a projection before its first event belongs to no history");
    }

    #[test]
    fn who_reads_one_row_knows_of_its_part_alone_and_a_change_of_generation_is_known_anew() {
        let (watcher, history) = (Watcher::default(), Uuid::from_u128(1));
        let wanted = ConsistencyToken { epoch: history, position: 5, event_id: Uuid::nil() };
        let row = "a".to_owned();
        let (partition, other) = (partition_of(&row, 8), (partition_of(&row, 8) + 1) % 8);
        let of = |row: Option<&String>| vec![ReadScope { projection: "users", row: row.cloned() }];
        let is_behind = |row| watcher.subscription(of(row), wanted).is_behind();
        watcher.moved(
            "users",
            CheckpointUpdate { partition: other, partitions: 8, epoch: Some(history), position: 4 },
        );
        assert!(!is_behind(Some(&row)) && is_behind(None));
        watcher.moved(
            "users",
            CheckpointUpdate { partition, partitions: 8, epoch: Some(history), position: 4 },
        );
        assert!(is_behind(Some(&row)));
        watcher.moved(
            "users",
            CheckpointUpdate { partition: 0, partitions: 1, epoch: Some(history), position: 5 },
        );
        assert!(
            !is_behind(Some(&row)) && !is_behind(None),
            "the former partitions make no difference"
        );
    }
}
