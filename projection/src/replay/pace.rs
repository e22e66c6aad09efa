//! Holds a rebuild or a verification back to a rate, so that it leaves the machine to others.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::{RANGE, READ_AHEAD};

/// So many events a second, on average since the last pause that was too long to make up for.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    per_second: Option<NonZeroU32>,
    since: Instant,
    events: f64,
}

/// How often a second a throttled one reads.
const RANGES_PER_SECOND: i64 = 20;
/// What was missed longer ago than this is not made up for.
const MADE_UP: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, since: Instant::now(), events: 0.0 }
    }

    /// How many positions to read at a time, and how many such ranges ahead: little where the rate
    /// is low, so that the work is even.
    pub(crate) fn ranges(&self) -> (i64, usize) {
        self.per_second.map_or((RANGE, READ_AHEAD), |rate| {
            ((i64::from(rate.get()) / RANGES_PER_SECOND).clamp(1, RANGE), 1)
        })
    }

    /// So many events were folded: waits until that much time has passed.
    pub(crate) async fn after(&mut self, events: i64) {
        let Some(rate) = self.per_second else { return };
        // A page has a few thousand events.
        self.events += f64::from(i32::try_from(events).unwrap_or(i32::MAX));
        let due = self.since + Duration::from_secs_f64(self.events / f64::from(rate.get()));
        if Instant::now() > due + MADE_UP {
            *self = Self::new(self.per_second);
        } else {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn events_are_held_back_to_the_rate() {
        let began = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(1_000));
        for _ in 0..10 {
            pace.after(500).await;
        }
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let began = Instant::now();
        Pace::new(None).after(1_000_000).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
