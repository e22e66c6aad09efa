//! Limits a verification's speed, and pauses it while live projection is behind.

use std::num::NonZeroU32;
use std::time::Duration;

use postgres_kit::Connection;
use service_kit::Pulse;
use tokio::time::Instant;

use crate::replay::pace::Pace;
use crate::replay::{ReplayError, Source};

/// How often to check whether live projection is behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The limits of a verification.
#[derive(Clone)]
pub(crate) struct Restraint {
    pace: Pace,
    /// The maximum number of events that live projection may be behind.
    most_lag: Option<i64>,
    looked_at: Option<Instant>,
    /// Shows that the verification is alive, even while it is paused.
    pulse: Option<Pulse>,
}

impl Restraint {
    /// No limits.
    pub(crate) fn none() -> Self {
        Self { pace: Pace::new(None), most_lag: None, looked_at: None, pulse: None }
    }

    /// At most this many events per second, and only while no live projection is further behind
    /// than `most_lag` events.
    pub(crate) fn to(per_second: NonZeroU32, most_lag: i64, pulse: Pulse) -> Self {
        let pace = Pace::new(Some(per_second));
        Self { pace, most_lag: Some(most_lag), looked_at: None, pulse: Some(pulse) }
    }

    /// The number of positions per read, and the number of ranges read ahead.
    pub(crate) fn ranges(&self) -> (i64, usize) {
        self.pace.ranges()
    }

    /// Called after `events` events were folded; waits as needed.
    pub(crate) async fn after(
        &mut self,
        events: i64,
        connection: &mut Connection,
        source: &Source,
    ) -> Result<(), ReplayError> {
        self.beat();
        self.pace.after(events).await;
        let Some(most) = self.most_lag else { return Ok(()) };
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let paused = Paused(source.projection().name());
        while lag(connection, source).await? > most {
            paused.tell(true);
            self.beat();
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.looked_at = Some(Instant::now());
        Ok(())
    }

    fn beat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }
}

/// Reports whether a projection's verification is paused. Dropping it reports that it is not,
/// because the verification may have failed.
struct Paused(&'static str);

impl Paused {
    fn tell(&self, paused: bool) {
        metrics::gauge!("projection_verification_paused", "projection" => self.0)
            .set(u8::from(paused));
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// The largest lag, in events, of all live generations that are neither stopped nor paused.
async fn lag(connection: &mut Connection, source: &Source) -> Result<i64, ReplayError> {
    let head = source.head().await?.mark.position;
    let least = sqlx::query_scalar!(
        "SELECT min(c.position) FROM read_model.checkpoints AS c JOIN read_model.generations AS g \
            USING (projection, generation)
         WHERE g.live AND c.stopped_by IS NULL
           AND NOT EXISTS (SELECT FROM read_model.pauses AS p WHERE p.projection = c.projection)"
    )
    .fetch_one(connection)
    .await?;
    Ok(least.map_or(0, |position| head.0 - position))
}
