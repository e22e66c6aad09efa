//! How processes share the partitions: each sees which others there are and what they hold, and
//! takes and gives up by the same rule.
//!
//! - A free partition is taken by whoever, of those who know what folds it, holds the fewest of its
//!   generation, and then the fewest in all; by anybody once it has been free for [`GRACE`], since
//!   the other one may be unable to.
//! - Who holds two more of a generation than another, or one more and two more in all, gives one up
//!   for it. So it ends: each move makes the loads more even.
//!
//! This decides only who does what; that a partition is moved by one process alone is the lease's
//! business, and the fence's.
//!
//! Processes see each other in `read_model.projectors`. Partitions move within seconds when a
//! process comes, goes or loses the log, and within the lease's term when one hangs or is cut off.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use postgres_kit::Connection;
use tokio::time::Instant;
use uuid::Uuid;

/// A process that has not said anything for this long is not counted on.
const MEMBER: Duration = Duration::from_secs(3);
/// What processes said that are long gone is forgotten after this.
const FORGOTTEN: Duration = Duration::from_hours(1);
/// For so long a free partition is left to whoever holds fewer: more than passes between two looks
/// of a process that is well.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Who had to take what another was left keeps what it has for so long, so that partitions do not
/// go to and fro.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A partition as it is shared: by its lease, and what folds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lease: String,
    pub(crate) fold: String,
}

impl Place {
    /// The schema of its generation.
    fn generation(&self) -> &str {
        generation_of(&self.lease)
    }
}

fn generation_of(lease: &str) -> &str {
    lease.rsplit_once('/').map_or(lease, |(generation, _)| generation)
}

/// The processes and what they hold, as one of them sees it.
#[derive(Debug)]
pub(crate) struct Assignment {
    me: Uuid,
    /// Whether this process can project; if not, it leaves what it has to those who can.
    able: bool,
    /// Those who can, and what they know: this one too, if it can.
    members: HashMap<Uuid, HashSet<String>>,
    /// Who holds which lease.
    held: HashMap<String, Uuid>,
    /// The last term of every lease.
    terms: HashMap<String, i64>,
    /// Whether this process keeps what is its now, since others did not take what they were left.
    patient: bool,
}

impl Assignment {
    /// Says that this process is there, if it is able to project these, and looks who else is.
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
        // A name that ends with the owner's id: no connection is taken for another that got the
        // same number later.
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

    /// Keeps what this process has, as long as it can project it.
    pub(crate) fn be_patient(&mut self) {
        self.patient = true;
    }

    /// Which term of a lease was the last: it has been in no other hands for as long as that stays.
    pub(crate) fn term(&self, lease: &str) -> i64 {
        self.terms.get(lease).copied().unwrap_or(0)
    }

    /// Whether another process holds it.
    pub(crate) fn is_elsewhere(&self, lease: &str) -> bool {
        self.held.get(lease).is_some_and(|owner| *owner != self.me)
    }

    /// How much a process holds: of a generation, and in all.
    fn load(&self, owner: Uuid, generation: &str) -> (usize, usize) {
        let leases =
            || self.held.iter().filter(|(_, holder)| **holder == owner).map(|(lease, _)| lease);
        (leases().filter(|lease| generation_of(lease) == generation).count(), leases().count())
    }

    /// The others who could project it, the one that holds least first.
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

    /// Which of what this process projects it is to give up for others.
    pub(crate) fn surplus(&mut self, mine: &[Place]) -> Vec<String> {
        let mut given = Vec::new();
        let mut mine: Vec<&Place> = mine.iter().collect();
        loop {
            // Where a generation has most partitions here, one is missed least.
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

    /// Who should have a partition of this process's instead of it.
    fn heir(&self, place: &Place) -> Option<Uuid> {
        let (of_it, all) = self.load(self.me, place.generation());
        let less = |(of_its, of_all): (usize, usize)| {
            of_it >= of_its + 2 || (of_it > of_its && all >= of_all + 2)
        };
        let is_heir = |load| !self.able || (!self.patient && less(load));
        self.others(place).into_iter().find(|(_, load)| is_heir(*load)).map(|(owner, _)| owner)
    }

    /// Which of the partitions that nobody holds this process is to take now; `true`: though it was
    /// another's turn. `since`: from when on each was seen free.
    pub(crate) fn acquisitions(
        &mut self,
        free: &[Place],
        since: &HashMap<String, Instant>,
    ) -> HashMap<String, bool> {
        let mut free: Vec<&Place> = free.iter().collect();
        free.sort_unstable_by_key(|place| &place.lease);
        let mut taken = HashMap::new();
        for place in free {
            // All who see the same give it to the same one, and go on from there.
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

/// Says that this process projects no more.
pub(crate) async fn leave(connection: &mut Connection, me: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM read_model.projectors WHERE owner = $1", me)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
