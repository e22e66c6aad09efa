//! Shares the partitions among processes. Each process sees the others and what they hold, and all
//! take and give up partitions by the same rules:
//!
//! - A free partition goes to the process that holds the fewest partitions of its generation, and
//!   then the fewest in total. Only processes that have the code that folds it count. After
//!   [`GRACE`], any process may take it, because the preferred one may be unable to.
//! - A process gives up a partition for another one that has two fewer of the generation, or one
//!   fewer of the generation and two fewer in total. Each move makes the loads more even, so the
//!   moves end.
//!
//! This only decides which process works on what. The lease and the fence make sure that only one
//! process moves a partition.
//!
//! Processes see each other in `read_model.projectors`. Partitions move within seconds when a
//! process starts, stops or cannot read the log, and within the lease's duration when one hangs or
//! is cut off.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use postgres_kit::Connection;
use tokio::time::Instant;
use uuid::Uuid;

/// A process that has not reported for this long does not count.
const MEMBER: Duration = Duration::from_secs(3);
/// The reports of processes that are gone are deleted after this.
const FORGOTTEN: Duration = Duration::from_hours(1);
/// How long a free partition is reserved for the process that holds fewer. It is longer than the
/// time between two checks of a healthy process.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// How long a process keeps its partitions after it took one that was reserved for another process.
/// Otherwise, partitions would move back and forth.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A partition as processes share it: its lease, and the code that folds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lease: String,
    pub(crate) fold: String,
}

impl Place {
    /// The name of its generation.
    fn generation(&self) -> &str {
        generation_of(&self.lease)
    }
}

fn generation_of(lease: &str) -> &str {
    lease.rsplit_once('/').map_or(lease, |(generation, _)| generation)
}

/// The processes and the partitions that they hold, as one process sees them.
#[derive(Debug)]
pub(crate) struct Assignment {
    me: Uuid,
    /// Whether this process can project. If not, it leaves its partitions to others.
    able: bool,
    /// The processes that can project, and the code that each has. Includes this one if it can.
    members: HashMap<Uuid, HashSet<String>>,
    /// The owner of each lease.
    held: HashMap<String, Uuid>,
    /// The last term of each lease.
    terms: HashMap<String, i64>,
    /// Whether this process keeps its partitions, because others did not take those reserved for
    /// them.
    patient: bool,
}

impl Assignment {
    /// Reports that this process exists, if it can project, and reads which others do.
    pub(crate) async fn look(
        connection: &mut Connection,
        me: Uuid,
        able: bool,
        folds: &[String],
    ) -> sqlx::Result<Self> {
        if able {
            beat(connection, me, folds).await?;
        } else {
            leave(connection, me).await?;
        }
        // The connection's name ends with the owner's id, so it is never mistaken for another one
        // that got the same pid later.
        let members = sqlx::query!(
            "SELECT p.owner, p.folds FROM read_model.projectors AS p
             JOIN pg_stat_activity AS a ON a.pid = p.backend_pid AND a.application_name LIKE '%' \
             || p.owner
             WHERE p.expires_at > clock_timestamp()"
        )
        .fetch_all(&mut *connection)
        .await?;
        let leases = sqlx::query!(
            r#"SELECT l.name, l.term, CASE WHEN a.pid IS NOT NULL AND l.expires_at >
                clock_timestamp() THEN l.owner END AS owner
               FROM read_model.leases AS l
               LEFT JOIN pg_stat_activity AS a ON a.pid = l.backend_pid AND a.application_name LIKE
               '%' || l.owner
               -- Those of operations are not shared.
               WHERE NOT starts_with(l.name, 'operation/')"#
        )
        .fetch_all(connection)
        .await?;
        Ok(Self {
            me,
            able,
            members: members
                .into_iter()
                .map(|row| (row.owner, row.folds.into_iter().collect()))
                .collect(),
            terms: leases.iter().map(|row| (row.name.clone(), row.term)).collect(),
            held: leases.into_iter().filter_map(|row| Some((row.name, row.owner?))).collect(),
            patient: false,
        })
    }

    /// Makes this process keep its partitions, as long as it can project them.
    pub(crate) fn be_patient(&mut self) {
        self.patient = true;
    }

    /// The last term of a lease. As long as it is the same, no other process has held the lease.
    pub(crate) fn term(&self, lease: &str) -> i64 {
        self.terms.get(lease).copied().unwrap_or(0)
    }

    /// Whether another process holds this lease.
    pub(crate) fn is_elsewhere(&self, lease: &str) -> bool {
        self.held.get(lease).is_some_and(|owner| *owner != self.me)
    }

    /// The number of partitions that a process holds: of a generation, and in total.
    fn load(&self, owner: Uuid, generation: &str) -> (usize, usize) {
        let leases =
            || self.held.iter().filter(|(_, holder)| **holder == owner).map(|(lease, _)| lease);
        (leases().filter(|lease| generation_of(lease) == generation).count(), leases().count())
    }

    /// The other processes that can project it, with the least loaded one first.
    fn others(&self, place: &Place) -> Vec<(Uuid, (usize, usize))> {
        let able = self
            .members
            .iter()
            .filter(|(owner, folds)| **owner != self.me && folds.contains(&place.fold));
        let mut others: Vec<_> =
            able.map(|(owner, _)| (*owner, self.load(*owner, place.generation()))).collect();
        others.sort_unstable_by_key(|(owner, load)| (*load, *owner));
        others
    }

    /// The leases that this process should give up for others.
    pub(crate) fn surplus(&mut self, mine: &[Place]) -> Vec<String> {
        let mut given = Vec::new();
        let mut mine: Vec<&Place> = mine.iter().collect();
        loop {
            // The generation with the most partitions here gives one up first.
            mine.sort_by_cached_key(|place| {
                (Reverse(self.load(self.me, place.generation())), place.lease.clone())
            });
            let next =
                mine.iter().enumerate().find_map(|(at, place)| Some((at, self.heir(place)?)));
            let Some((at, to)) = next else { return given };
            let place = mine.remove(at);
            self.held.insert(place.lease.clone(), to);
            given.push(place.lease.clone());
        }
    }

    /// The process that should have this partition instead of this process, if any.
    fn heir(&self, place: &Place) -> Option<Uuid> {
        let (of_it, all) = self.load(self.me, place.generation());
        let less = |(of_its, of_all): (usize, usize)| {
            of_it >= of_its + 2 || (of_it > of_its && all >= of_all + 2)
        };
        let is_heir = |load| !self.able || (!self.patient && less(load));
        self.others(place).into_iter().find(|(_, load)| is_heir(*load)).map(|(owner, _)| owner)
    }

    /// The free partitions that this process should take now. The value is true if another process
    /// was preferred. `since` has the time from which on each was seen free.
    pub(crate) fn acquisitions(
        &mut self,
        free: &[Place],
        since: &HashMap<String, Instant>,
    ) -> HashMap<String, bool> {
        let mut free: Vec<&Place> = free.iter().collect();
        free.sort_unstable_by_key(|place| &place.lease);
        let mut taken = HashMap::new();
        for place in free {
            // All processes with the same view choose the same one, and continue from there.
            let mut turns = self.others(place);
            if self.able {
                turns.push((self.me, self.load(self.me, place.generation())));
            }
            let turn =
                turns.iter().min_by_key(|(owner, load)| (*load, *owner)).map(|(owner, _)| *owner);
            let is_left = since.get(&place.lease).is_some_and(|since| since.elapsed() > GRACE);
            let is_mine = turn == Some(self.me) || (is_left && (self.able || turn.is_none()));
            if is_mine {
                taken.insert(place.lease.clone(), turn.is_some_and(|turn| turn != self.me));
            }
            if let Some(owner) = if is_mine { Some(self.me) } else { turn } {
                self.held.insert(place.lease.clone(), owner);
            }
        }
        taken
    }
}

async fn beat(connection: &mut Connection, me: Uuid, folds: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM read_model.projectors WHERE expires_at < clock_timestamp() - \
            make_interval(secs => $4))
         INSERT INTO read_model.projectors (owner, backend_pid, folds, expires_at)
         VALUES ($1, pg_backend_pid(), $2, clock_timestamp() + make_interval(secs => $3))
         ON CONFLICT (owner) DO UPDATE
         SET backend_pid = excluded.backend_pid, folds = excluded.folds, expires_at = \
         excluded.expires_at",
        me,
        folds,
        MEMBER.as_secs_f64(),
        FORGOTTEN.as_secs_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Reports that this process no longer projects.
pub(crate) async fn leave(connection: &mut Connection, me: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM read_model.projectors WHERE owner = $1", me)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
