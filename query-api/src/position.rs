//! Wakes queries that wait for a position, when the read tables reach it. One watcher serves the
//! whole process.
//!
//! It receives checkpoints from NATS (`checkpoints.<projection>`). While a query waits, it also
//! asks the database every [`POLL_EVERY`], so neither a silent NATS nor a lagging replica can hold
//! a query up. While no query waits, it asks nothing. A wake-up is only a hint: the query reads
//! again and checks for itself.

mod announced;
mod polled;

pub use announced::listen;
pub use polled::{POLL_EVERY, POLL_SILENCE, poll};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use service_kit::consistency::ConsistencyToken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use crate::scope::{Projection, ReadScope};

/// The maximum number of queries that may wait at once in this process.
pub const MAX_WAITERS: usize = 1000;

/// The last update of each projection.
type Positions = HashMap<String, Partitions>;

/// The last updates of a projection's partitions.
#[derive(Debug)]
struct Partitions {
    /// The number of partitions.
    of: i32,
    /// The last update of each partition that sent one, by partition number.
    said: BTreeMap<i32, CheckpointUpdate>,
}

impl Partitions {
    fn new(of: i32) -> Self {
        Self { of, said: BTreeMap::new() }
    }

    /// The updates of the partitions in `scope`. An item is `None` if its partition sent no update.
    fn read<'p>(
        &'p self,
        scope: &'p ReadScope,
    ) -> impl Iterator<Item = Option<&'p CheckpointUpdate>> {
        (0..self.of)
            .filter(|partition| scope.reads(*partition, self.of))
            .map(|partition| self.said.get(&partition))
    }
}

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
    positions: watch::Sender<Positions>,
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
    positions: watch::Receiver<Positions>,
}

/// A query that waits for a position. It holds one of the [`MAX_WAITERS`] places.
#[derive(Debug)]
pub struct Waiting {
    subscription: Subscription,
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
    /// Subscribes to updates, to learn when all `scopes` show `wanted`.
    pub fn subscription(&self, scopes: Vec<ReadScope>, wanted: ConsistencyToken) -> Subscription {
        Subscription {
            watcher: self.clone(),
            scopes,
            wanted,
            positions: self.positions.subscribe(),
        }
    }

    /// Reports where a partition of a projection is, and wakes the queries that wait.
    ///
    /// The same update wakes them again, because a replica may lag behind.
    pub fn moved(&self, projection: &str, said: CheckpointUpdate) {
        self.positions.send_modify(|positions| {
            // This is not the maximum of both: after a restore, positions start again.
            let partitions = positions
                .entry(projection.to_owned())
                .or_insert_with(|| Partitions::new(said.partitions));
            if partitions.of != said.partitions {
                // Another generation went live.
                *partitions = Partitions::new(said.partitions);
            }
            partitions.said.insert(said.partition, said);
        });
    }

    /// Follows the updates of one projection.
    pub fn moves(&self, projection: Projection) -> Moves {
        Moves { projection, positions: self.positions.subscribe() }
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
        let known = self.positions.borrow();
        let before = |said: &CheckpointUpdate| {
            said.epoch == Some(self.wanted.epoch) && said.position < self.wanted.position
        };
        self.scopes.iter().any(|scope| {
            known.get(scope.projection).is_some_and(|of| of.read(scope).flatten().any(before))
        })
    }

    /// Starts to wait. Returns `None` if [`MAX_WAITERS`] queries wait already.
    pub fn wait(self) -> Option<Waiting> {
        let place = Arc::clone(&self.watcher.places).try_acquire_owned().ok()?;
        self.watcher.waiters.send_modify(|waiters| *waiters += 1);
        metrics::gauge!("query_waiters").increment(1.0);
        Some(Waiting { subscription: self, _place: place })
    }
}

/// The updates of one projection.
#[derive(Debug)]
pub struct Moves {
    projection: Projection,
    positions: watch::Receiver<Positions>,
}

impl Moves {
    /// Waits until the last update of every partition is beyond this position.
    pub async fn beyond(&mut self, position: i64) {
        let all = ReadScope { projection: self.projection, row: None };
        let is_beyond =
            |said: Option<&CheckpointUpdate>| said.is_some_and(|said| said.position > position);
        let moved = self.positions.wait_for(|known| {
            known.get(self.projection).is_some_and(|of| of.read(&all).all(is_beyond))
        });
        if moved.await.is_err() {
            // The watcher is gone, so only polling can tell.
            std::future::pending::<()>().await;
        }
    }
}

impl Waiting {
    /// Waits until updates say that the position is reached.
    pub async fn woken(&mut self) {
        let Subscription { scopes, wanted, positions, .. } = &mut self.subscription;
        let is_there = |said: Option<&CheckpointUpdate>| {
            said.is_some_and(|said| said.position >= wanted.position)
        };
        loop {
            if positions.changed().await.is_err() {
                // The watcher is gone, so only the caller's deadline can end the wait.
                std::future::pending::<()>().await;
            }
            let known = positions.borrow_and_update();
            if scopes.iter().all(|scope| {
                known.get(scope.projection).is_some_and(|of| of.read(scope).all(is_there))
            }) {
                return;
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.subscription
            .watcher
            .waiters
            .send_modify(|waiters| *waiters = waiters.saturating_sub(1));
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
