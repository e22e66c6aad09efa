//! What a verification leaves to others: it goes no faster than told, and stands still while live
//! projecting is behind.

use std::num::NonZeroU32;
use std::time::Duration;

use postgres_kit::Connection;
use service_kit::Pulse;
use tokio::time::Instant;

use crate::replay::pace::Pace;
use crate::replay::{ReplayError, Source};

/// How often it is looked whether live projecting is behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a verification holds itself back.
#[derive(Clone)]
pub(crate) struct Restraint {
    pace: Pace,
    /// The most events that live projecting may be behind.
    most_lag: Option<i64>,
    looked_at: Option<Instant>,
    /// Shows that it moves, though it may stand still for others.
    pulse: Option<Pulse>,
}

impl Restraint {
    /// Not at all.
    pub(crate) fn none() -> Self {
        Self { pace: Pace::new(None), most_lag: None, looked_at: None, pulse: None }
    }

    /// To so many events a second, and only while no live projection is further behind than this.
    pub(crate) fn to(per_second: NonZeroU32, most_lag: i64, pulse: Pulse) -> Self {
        let pace = Pace::new(Some(per_second));
        Self { pace, most_lag: Some(most_lag), looked_at: None, pulse: Some(pulse) }
    }

    /// How many positions to read at a time, and how many such ranges ahead.
    pub(crate) fn ranges(&self) -> (i64, usize) {
        self.pace.ranges()
    }

    /// So many events were folded.
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

/// Tells whether the verification of a projection stands still: not any more once this is dropped,
/// since it failed perhaps.
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

/// How far the live generation that is furthest back, of those that are neither stopped nor paused,
/// is behind the log.
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
