//! The last update of each projection, and who sleeps until one reaches a position.
//!
//! Everybody sleeps for one partition at a time, and those of a partition are sorted by position.
//! So an update costs as much as it wakes or sends on to another partition, however many sleep.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use service_kit::consistency::ConsistencyToken;
use tokio::sync::oneshot;

use super::CheckpointUpdate;
use crate::scope::{Projection, ReadScope};

/// Identifies a sleeper: the position that it sleeps for, and its number.
pub(super) type SleeperKey = (i64, u64);

/// The last updates, and who sleeps until there are others.
#[derive(Debug, Default)]
pub(super) struct Board {
    projections: HashMap<String, Known>,
    /// The number of updates so far.
    updates: u64,
    last_sleeper: u64,
    /// How many sleepers were looked at.
    #[cfg(test)]
    looks: usize,
}

/// What is known of a projection.
#[derive(Debug, Default)]
struct Known {
    /// The last updates of its partitions. `None` before the first one.
    partitions: Option<Partitions>,
    /// The number of the last update.
    updated: u64,
    /// Who sleeps until a partition is at a position, by its number.
    sleepers: BTreeMap<i32, Sleepers>,
}

type Sleepers = BTreeMap<SleeperKey, Sleeper>;

/// The last updates of a projection's partitions.
#[derive(Debug)]
struct Partitions {
    /// The number of partitions.
    of: i32,
    /// The last update of each partition that sent one, by partition number.
    said: BTreeMap<i32, CheckpointUpdate>,
}

/// What somebody sleeps for: all partitions in these scopes are at a position.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) scopes: Vec<ReadScope>,
    pub(super) position: i64,
}

#[derive(Debug)]
struct Sleeper {
    goal: Arc<Goal>,
    wake: oneshot::Sender<Woken>,
}

/// The update that reached a goal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Woken {
    /// The number of the update.
    pub(super) update: u64,
    /// When it came.
    pub(super) at: Instant,
}

/// Those whom an update wakes.
#[derive(Debug)]
#[must_use = "nobody else wakes them"]
pub(super) struct Due {
    sleepers: Vec<Sleeper>,
    woken: Woken,
}

impl Due {
    /// Wakes them.
    pub(super) fn wake(self) {
        for sleeper in self.sleepers {
            // Who gave up meanwhile needs no waking.
            sleeper.wake.send(self.woken).ok();
        }
    }
}

impl Partitions {
    fn new(of: i32) -> Self {
        Self { of, said: BTreeMap::new() }
    }

    /// The partitions in `scope`, and their updates: `None` if a partition sent none.
    fn read<'p>(
        &'p self,
        scope: &'p ReadScope,
    ) -> impl Iterator<Item = (i32, Option<&'p CheckpointUpdate>)> {
        (0..self.of)
            .filter(|partition| scope.reads(*partition, self.of))
            .map(|partition| (partition, self.said.get(&partition)))
    }
}

impl Known {
    /// Takes in an update. Takes out those who may sleep for it: for this partition and at most
    /// this position, or all if the number of partitions is another one than before.
    fn learn(&mut self, said: CheckpointUpdate) -> Vec<(SleeperKey, Sleeper)> {
        let is_known = self.partitions.as_ref().is_some_and(|known| known.of == said.partitions);
        if !is_known {
            // The first update, or another generation went live.
            self.partitions = Some(Partitions::new(said.partitions));
        }
        if let Some(partitions) = &mut self.partitions {
            // This is not the maximum of both: after a restore, positions start again.
            partitions.said.insert(said.partition, said);
        }
        if !is_known {
            return std::mem::take(&mut self.sleepers).into_values().flatten().collect();
        }
        let Some(sleepers) = self.sleepers.get_mut(&said.partition) else { return Vec::new() };
        let later = sleepers.split_off(&(said.position.saturating_add(1), 0));
        std::mem::replace(sleepers, later).into_iter().collect()
    }
}

impl Board {
    /// The number of updates so far.
    pub(super) const fn updates(&self) -> u64 {
        self.updates
    }

    /// Whether the last update of a partition in scope is before the wanted position, in the same
    /// epoch.
    pub(super) fn is_behind(&self, scopes: &[ReadScope], wanted: &ConsistencyToken) -> bool {
        let before = |said: &CheckpointUpdate| {
            said.epoch == Some(wanted.epoch) && said.position < wanted.position
        };
        let is_before = |scope: &ReadScope| {
            let partitions = self.partitions(scope);
            partitions.is_some_and(|of| of.read(scope).filter_map(|(_, said)| said).any(before))
        };
        scopes.iter().any(is_before)
    }

    /// Takes in where a partition of a projection is. Returns those whom that wakes.
    pub(super) fn moved(&mut self, projection: &str, said: CheckpointUpdate) -> Due {
        self.updates += 1;
        let woken = Woken { update: self.updates, at: Instant::now() };
        let known = self.known(projection);
        known.updated = woken.update;
        let mut sleepers = Vec::new();
        for (key, sleeper) in known.learn(said) {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            match self.missing(&sleeper.goal) {
                None => sleepers.push(sleeper),
                // The next partition to reach the position.
                Some(partition) => self.put(partition, key, sleeper),
            }
        }
        Due { sleepers, woken }
    }

    /// Adds somebody who sleeps until the next update after which the goal is reached. Returns
    /// `None` if it is, as of an update after the one with the number `heard`.
    pub(super) fn add(
        &mut self,
        goal: &Arc<Goal>,
        heard: u64,
    ) -> Option<(SleeperKey, oneshot::Receiver<Woken>)> {
        let missing = self.missing(goal);
        let is_news = |scope: &ReadScope| {
            self.projections.get(scope.projection).is_some_and(|known| known.updated > heard)
        };
        if missing.is_none() && goal.scopes.iter().any(is_news) {
            return None;
        }
        // If none is missing, the next update of the first one wakes.
        let partition = missing.or_else(|| self.first(goal)).unwrap_or_default();
        self.last_sleeper += 1;
        let key = (goal.position, self.last_sleeper);
        let (wake, woken) = oneshot::channel();
        self.put(partition, key, Sleeper { goal: Arc::clone(goal), wake });
        Some((key, woken))
    }

    /// Forgets a sleeper, if it still sleeps.
    pub(super) fn forget(&mut self, goal: &Goal, key: SleeperKey) {
        for scope in &goal.scopes {
            if let Some(known) = self.projections.get_mut(scope.projection) {
                for sleepers in known.sleepers.values_mut() {
                    sleepers.remove(&key);
                }
            }
        }
    }

    /// The first partition that has not reached a goal.
    fn missing(&self, goal: &Goal) -> Option<(Projection, i32)> {
        self.find(goal, |said| said.is_none_or(|said| said.position < goal.position))
    }

    /// The first partition of a goal.
    fn first(&self, goal: &Goal) -> Option<(Projection, i32)> {
        self.find(goal, |_| true)
    }

    /// The first partition of a goal whose last update is like this. While nothing is known of a
    /// projection, its number is 0.
    fn find(
        &self,
        goal: &Goal,
        is_it: impl Fn(Option<&CheckpointUpdate>) -> bool,
    ) -> Option<(Projection, i32)> {
        let in_scope = |scope: &ReadScope| {
            let Some(partitions) = self.partitions(scope) else {
                return Some((scope.projection, 0));
            };
            let found = partitions.read(scope).find(|(_, said)| is_it(*said));
            found.map(|(partition, _)| (scope.projection, partition))
        };
        goal.scopes.iter().find_map(in_scope)
    }

    fn put(&mut self, (projection, partition): (&str, i32), key: SleeperKey, sleeper: Sleeper) {
        self.known(projection).sleepers.entry(partition).or_default().insert(key, sleeper);
    }

    fn partitions(&self, scope: &ReadScope) -> Option<&Partitions> {
        self.projections.get(scope.projection)?.partitions.as_ref()
    }

    fn known(&mut self, projection: &str) -> &mut Known {
        self.projections.entry(projection.to_owned()).or_default()
    }

    /// The number of those who sleep.
    #[cfg(test)]
    pub(super) fn sleepers(&self) -> usize {
        let sleepers = self.projections.values().flat_map(|known| known.sleepers.values());
        sleepers.map(Sleepers::len).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use uuid::Uuid;

    use super::*;

    fn goal(projections: &[Projection], position: i64) -> Arc<Goal> {
        let scope = |projection: &Projection| ReadScope { projection, row: None };
        Arc::new(Goal { scopes: projections.iter().map(scope).collect(), position })
    }

    fn at(position: i64) -> CheckpointUpdate {
        CheckpointUpdate { partition: 0, partitions: 1, epoch: Some(Uuid::nil()), position }
    }

    #[test]
    fn an_update_wakes_those_whose_position_it_reaches_and_nobody_else() {
        let mut board = Board::default();
        let goals = [3, 5, 5, 8].map(|position| goal(&["orders"], position));
        let mut asleep = goals.each_ref().map(|goal| board.add(goal, 0).unwrap().1);
        let mut woken = |board: &mut Board, said| {
            board.moved("orders", said).wake();
            asleep.each_mut().map(|one| one.try_recv().is_ok())
        };
        assert_eq!(woken(&mut board, at(2)), [false; 4]);
        assert_eq!(woken(&mut board, at(5)), [true, true, true, false]);
        assert_eq!(woken(&mut board, at(8)), [false, false, false, true]);
        assert_eq!(board.sleepers(), 0);
    }

    #[test]
    fn who_sleeps_for_several_projections_or_partitions_is_woken_by_the_last_one() {
        let mut board = Board::default();
        let both = goal(&["orders", "users"], 5);
        let (_, mut asleep) = board.add(&both, 0).unwrap();
        board.moved("users", at(9)).wake();
        board.moved("orders", CheckpointUpdate { partitions: 2, ..at(6) }).wake();
        assert!(asleep.try_recv().is_err() && board.sleepers() == 1);
        board.moved("users", at(4)).wake();
        board.moved("orders", CheckpointUpdate { partition: 1, partitions: 2, ..at(5) }).wake();
        assert!(asleep.try_recv().is_err(), "a restore took the other one back");
        board.moved("users", at(5)).wake();
        assert_eq!(asleep.try_recv().unwrap().update, 5);
    }

    #[test]
    fn an_update_of_a_partition_looks_only_at_those_who_sleep_for_it() {
        const PARTITIONS: i32 = 8;
        let mut board = Board::default();
        let said = |partition, position| CheckpointUpdate {
            partition,
            partitions: PARTITIONS,
            ..at(position)
        };
        let asleep: Vec<_> =
            (0..1_000).map(|_| board.add(&goal(&["orders"], 5), 0).unwrap()).collect();
        for partition in 0..PARTITIONS {
            board.moved("orders", said(partition, 4)).wake();
        }
        board.looks = 0;
        for _ in 0..1_000 {
            // All of them sleep for the first partition, and no other one concerns them yet.
            board.moved("orders", said(7, 9)).wake();
        }
        assert_eq!(board.looks, 0);
        for partition in 0..PARTITIONS {
            board.moved("orders", said(partition, 9)).wake();
        }
        assert_eq!((board.looks, board.sleepers()), (7 * asleep.len(), 0));
    }

    #[test]
    fn who_sleeps_is_sorted_anew_when_the_number_of_partitions_changes() {
        let mut board = Board::default();
        let five = goal(&["orders"], 5);
        let (_, mut asleep) = board.add(&five, 0).unwrap();
        board.moved("orders", CheckpointUpdate { partition: 3, partitions: 4, ..at(9) }).wake();
        board.moved("orders", at(4)).wake();
        assert!(asleep.try_recv().is_err() && board.sleepers() == 1);
        board.moved("orders", at(5)).wake();
        assert!(asleep.try_recv().is_ok());
    }

    #[test]
    fn what_was_heard_of_wakes_nobody_and_the_same_update_does_when_it_comes_again() {
        let mut board = Board::default();
        board.moved("orders", at(5)).wake();
        let five = goal(&["orders"], 5);
        assert!(board.add(&five, 0).is_none(), "it came meanwhile");
        let (_, mut asleep) = board.add(&five, board.updates()).unwrap();
        board.moved("users", at(7)).wake();
        assert!(asleep.try_recv().is_err());
        board.moved("orders", at(5)).wake();
        assert_eq!(asleep.try_recv().unwrap().update, 3);
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let mut board = Board::default();
        let both = goal(&["orders", "users"], 5);
        let (key, _asleep) = board.add(&both, 0).unwrap();
        board.moved("orders", at(5)).wake();
        board.forget(&both, key);
        assert_eq!(board.sleepers(), 0);
    }
}
