//! The server that a read goes to: a read replica while it is fit, otherwise the primary.
//!
//! A replica is fit while it answers and does not lag more than a limit. A read that it does not
//! answer goes to the primary at once, and so do the following ones until a check finds the replica
//! fit again. While the primary is away, any replica that answers is fit: an old answer, which says
//! its position, is better than none.
//!
//! The lag is measured with the clock of this process alone. Each check notes how far the primary
//! has written. The lag is the time since the oldest note that the replica has not replayed yet. So
//! a quiet primary is no lag.
//!
//! A query with a consistency token waits for the replica's own replay, and asks the primary once
//! when its time is up (`read/reader.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres_kit::Pool;
use service_kit::Pulse;
use service_kit::health::Component;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::database::Pools;

/// The interval between two checks of the replica.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The time limit of a check, for each server.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// After this time without progress, the checks are considered hung.
pub const LOOK_SILENCE: Duration = Duration::from_secs(12);
/// The maximum number of notes. When they are used up, the last one stands for all later ones.
const MAX_NOTES: usize = 1_000;

/// How far a server has written the log of its database, or replayed that of its primary, in bytes.
const REACHED: &str = "SELECT coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()
    THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0'), 0)::bigint";

/// The servers with the read tables. Clones share them.
#[derive(Debug, Clone)]
pub struct Servers {
    primary: Pools,
    replica: Option<Arc<Replica>>,
}

#[derive(Debug)]
struct Replica {
    pools: Pools,
    is_fit: AtomicBool,
}

/// The server that a read goes to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its connections.
    pub pools: Pools,
    /// The replica, if it is one.
    replica: Option<Arc<Replica>>,
}

impl From<Pools> for Servers {
    /// A primary without a replica.
    fn from(primary: Pools) -> Self {
        Self { primary, replica: None }
    }
}

impl Servers {
    /// A primary with a replica. The replica is not read before [`watch`] finds it fit.
    pub fn with_replica(primary: Pools, replica: Pools) -> Self {
        let replica = Replica { pools: replica, is_fit: AtomicBool::new(false) };
        Self { primary, replica: Some(Arc::new(replica)) }
    }

    /// The server for the next read.
    pub fn choose(&self) -> Server {
        match self.replica.as_ref().filter(|replica| replica.is_fit.load(Ordering::Relaxed)) {
            Some(replica) => {
                Server { pools: replica.pools.clone(), replica: Some(Arc::clone(replica)) }
            }
            None => self.primary(),
        }
    }

    /// The primary.
    pub fn primary(&self) -> Server {
        Server { pools: self.primary.clone(), replica: None }
    }

    /// Whether there is a replica to choose.
    pub const fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Closes all pools after their current work.
    pub async fn close(&self) {
        let replica = async {
            if let Some(replica) = &self.replica {
                replica.pools.close().await;
            }
        };
        tokio::join!(self.primary.close(), replica);
    }
}

impl Server {
    /// Whether it is a replica.
    pub const fn is_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Reports that it gave no answer. A replica is not read until it is found fit again.
    pub fn is_away(&self) {
        self.pools.doubt();
        if let Some(replica) = &self.replica {
            replica.is_fit.store(false, Ordering::Relaxed);
        }
    }
}

/// How far the primary had written, and when that was first seen.
#[derive(Debug, Default)]
struct Notes(VecDeque<(Instant, i64)>);

impl Notes {
    fn note(&mut self, now: Instant, written: i64) {
        if self.0.back().is_some_and(|(_, last)| *last >= written) {
            return;
        }
        if self.0.len() < MAX_NOTES {
            self.0.push_back((now, written));
        } else if let Some((_, last)) = self.0.back_mut() {
            // It stands for all that was written since, so the lag is never too small.
            *last = written;
        }
    }

    /// The time since the oldest note that is not replayed. Forgets those that are.
    fn lag(&mut self, now: Instant, replayed: i64) -> Duration {
        while self.0.front().is_some_and(|(_, written)| *written <= replayed) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(seen, _)| now - *seen)
    }
}

/// Checks the replica until cancelled. It is fit while it lags at most `max_lag`.
pub async fn watch(
    servers: Servers,
    max_lag: Duration,
    component: Component,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let Some(replica) = servers.replica.clone() else { return };
    describe();
    let rounds = async {
        let [primary, follower] = [&servers.primary, &replica.pools]
            .map(|pools| pools.lookup.past_the_queue().with_limit(LOOK_LIMIT));
        let (mut notes, mut ticks) = (Notes::default(), tokio::time::interval(LOOK_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            pulse.beat();
            let (written, replayed) = tokio::join!(reached(&primary), reached(&follower));
            let fit = judged(&mut notes, written.ok(), replayed, max_lag);
            let was_fit = replica.is_fit.swap(fit.is_ok(), Ordering::Relaxed);
            metrics::gauge!("read_replica_in_use").set(if fit.is_ok() { 1.0 } else { 0.0 });
            match fit {
                Ok(()) => {
                    component.ready();
                    if !was_fit {
                        tracing::info!("reads go to the replica");
                    }
                }
                Err(reason) => {
                    if was_fit {
                        tracing::warn!(reason, "reads go to the primary");
                    }
                    component.not_ready(reason);
                }
            }
        }
    };
    stop.run_until_cancelled(rounds).await;
}

/// Whether the replica is fit, or why it is not.
fn judged(
    notes: &mut Notes,
    written: Option<i64>,
    replayed: sqlx::Result<i64>,
    max_lag: Duration,
) -> Result<(), String> {
    let now = Instant::now();
    if let Some(written) = written {
        notes.note(now, written);
    }
    let replayed = replayed.map_err(|error| {
        metrics::gauge!("read_replica_lag_seconds").set(f64::NAN);
        format!("the replica cannot be reached: {error}")
    })?;
    let lag = notes.lag(now, replayed);
    metrics::gauge!("read_replica_lag_seconds").set(lag.as_secs_f64());
    if lag > max_lag && written.is_some() {
        return Err(format!("the replica lags {} s", lag.as_secs()));
    }
    Ok(())
}

async fn reached(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar(REACHED).fetch_one(pool).await
}

fn describe() {
    metrics::describe_gauge!("read_replica_in_use", "1 while reads go to the replica");
    metrics::describe_gauge!(
        "read_replica_lag_seconds",
        metrics::Unit::Seconds,
        "How long ago the primary wrote what the replica has not replayed yet"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_lag_is_the_age_of_what_is_not_replayed_and_a_quiet_primary_is_none() {
        let (start, mut notes) = (Instant::now(), Notes::default());
        assert_eq!(notes.lag(start, 0), Duration::ZERO);
        notes.note(start, 10);
        notes.note(start + SECOND, 20);
        // Nothing new was written.
        notes.note(start + 9 * SECOND, 20);
        assert_eq!(notes.lag(start + 9 * SECOND, 9), 9 * SECOND);
        assert_eq!(notes.lag(start + 9 * SECOND, 10), 8 * SECOND);
        assert_eq!(notes.lag(start + 9 * SECOND, 20), Duration::ZERO);
        notes.note(start + 20 * SECOND, 30);
        assert_eq!(notes.lag(start + 21 * SECOND, 20), SECOND);
    }

    #[test]
    fn a_replica_that_is_far_behind_is_not_taken_for_close_when_the_notes_are_used_up() {
        let (start, mut notes) = (Instant::now(), Notes::default());
        let mut written = 0_u32;
        for second in (1..).take(2 * MAX_NOTES) {
            notes.note(start + second * SECOND, second.into());
            written = second;
        }
        let now = start + written * SECOND;
        for replayed in (0..written).step_by(100) {
            // What was written a second later is the oldest that is not replayed.
            let least = (written - replayed - 1) * SECOND;
            assert!(notes.lag(now, replayed.into()) >= least, "{replayed}");
        }
    }

    #[test]
    fn a_replica_that_lags_is_fit_only_while_there_is_nothing_else() {
        let mut notes = Notes::default();
        assert_eq!(judged(&mut notes, Some(10), Ok(5), Duration::ZERO), Ok(()));
        let lags = judged(&mut notes, Some(10), Ok(5), Duration::ZERO);
        assert_eq!(lags, Err("the replica lags 0 s".to_owned()));
        assert_eq!(judged(&mut notes, None, Ok(5), Duration::ZERO), Ok(()));
        let away = judged(&mut notes, Some(10), Err(sqlx::Error::PoolTimedOut), SECOND);
        assert!(away.is_err_and(|reason| reason.starts_with("the replica cannot be reached")));
        assert_eq!(judged(&mut notes, Some(10), Ok(10), Duration::ZERO), Ok(()));
    }
}
