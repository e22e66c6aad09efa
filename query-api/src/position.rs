//! Knowing when the read tables move: one watcher in the process wakes every query that waits for a
//! position.
//!
//! It hears of checkpoints from NATS (`checkpoints.<projection>`), and while anybody waits it also
//! asks the database every [`POLL_EVERY`], so that neither a silent NATS nor a lagging replica
//! keeps a query waiting. While nobody waits it does nothing. A wake-up is a hint: the waiter reads
//! again and looks for itself.

mod announced;
mod polled;

pub use announced::listen;
pub use polled::{POLL_EVERY, POLL_SILENCE, poll};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use service_kit::consistency::ConsistencyToken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use crate::read::ReadScope;

/// How many queries of this process may wait at once.
pub const MAX_WAITERS: usize = 1000;

/// What was said last of each projection.
type Positions = HashMap<String, Partitions>;

/// What was said last of the partitions of a projection.
#[derive(Debug)]
struct Partitions {
    /// How many there are.
    of: i32,
    /// Of those of which anything was said, by their number.
    said: BTreeMap<i32, CheckpointUpdate>,
}

impl Partitions {
    fn new(of: i32) -> Self {
        Self { of, said: BTreeMap::new() }
    }

    /// Those that are read; `None`: nothing was said of it.
    fn read<'p>(
        &'p self,
        scope: &'p ReadScope,
    ) -> impl Iterator<Item = Option<&'p CheckpointUpdate>> {
        (0..self.of)
            .filter(|partition| scope.reads(*partition, self.of))
            .map(|partition| self.said.get(&partition))
    }
}

/// Where a partition of a projection is, and in which history; none before its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct CheckpointUpdate {
    /// Which partition.
    pub partition: i32,
    /// How many there are in its generation.
    pub partitions: i32,
    /// The epoch: the history that the log is in.
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

/// A subscription that hears every move from its making on, so that none is missed between a look
/// and the wait for more.
#[derive(Debug)]
pub struct Subscription {
    watcher: Watcher,
    scopes: Vec<ReadScope>,
    wanted: ConsistencyToken,
    positions: watch::Receiver<Positions>,
}

/// A query that waits.
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
    /// Hears when all of this shows `wanted`.
    pub fn subscription(&self, scopes: Vec<ReadScope>, wanted: ConsistencyToken) -> Subscription {
        Subscription {
            watcher: self.clone(),
            scopes,
            wanted,
            positions: self.positions.subscribe(),
        }
    }

    /// Somebody says where a partition of a projection is. CheckpointUpdate twice, it wakes twice:
    /// a replica may lag behind.
    pub fn moved(&self, projection: &str, said: CheckpointUpdate) {
        self.positions.send_modify(|positions| {
            // Not the maximum of both: after a restore, positions begin anew.
            let partitions = positions
                .entry(projection.to_owned())
                .or_insert_with(|| Partitions::new(said.partitions));
            if partitions.of != said.partitions {
                // Another generation has become live.
                *partitions = Partitions::new(said.partitions);
            }
            partitions.said.insert(said.partition, said);
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

impl Subscription {
    /// The same, of other reads: it has heard every move since it was made.
    #[must_use]
    pub fn about(self, scopes: Vec<ReadScope>) -> Self {
        Self { scopes, ..self }
    }

    /// Whether a look would be in vain: a partition that is read was last said to be before the
    /// wanted position, in the same history. Whoever waits is told soon if that is not so any more.
    pub fn is_behind(&self) -> bool {
        let known = self.positions.borrow();
        let before = |said: &CheckpointUpdate| {
            said.epoch == Some(self.wanted.epoch) && said.position < self.wanted.position
        };
        self.scopes.iter().any(|scope| {
            known.get(scope.projection).is_some_and(|of| of.read(scope).flatten().any(before))
        })
    }

    /// Takes a place among those who wait; `None` if too many do.
    pub fn wait(self) -> Option<Waiting> {
        let place = Arc::clone(&self.watcher.places).try_acquire_owned().ok()?;
        self.watcher.waiters.send_modify(|waiters| *waiters += 1);
        metrics::gauge!("query_waiters").increment(1.0);
        Some(Waiting { subscription: self, _place: place })
    }
}

impl Waiting {
    /// Returns when somebody says that the position is there.
    pub async fn woken(&mut self) {
        let Subscription { scopes, wanted, positions, .. } = &mut self.subscription;
        let is_there = |said: Option<&CheckpointUpdate>| {
            said.is_some_and(|said| said.position >= wanted.position)
        };
        loop {
            if positions.changed().await.is_err() {
                // The watcher is gone: only the deadline is left.
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
        assert!(is_behind(), "another projection is before it");
        watcher.moved("orders", said(None, 0));
        assert!(!is_behind(), "a projection before its first event is of no history");
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
            "what the partitions of before were is no matter"
        );
    }
}
