//! Limits the rate of a rebuild or a verification, to leave resources for others.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::{RANGE, READ_AHEAD};

/// A rate limit in events per second. It catches up after short pauses, but not after long ones.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    per_second: Option<NonZeroU32>,
    since: Instant,
    events: f64,
}

/// How many reads per second a throttled replay does.
const RANGES_PER_SECOND: i64 = 20;
/// A delay longer than this is not caught up.
const MADE_UP: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, since: Instant::now(), events: 0.0 }
    }

    /// The number of positions per read, and the number of ranges read ahead. Both are small at low
    /// rates, so that the load is even.
    pub(crate) fn ranges(&self) -> (i64, usize) {
        self.per_second.map_or((RANGE, READ_AHEAD), |rate| {
            ((i64::from(rate.get()) / RANGES_PER_SECOND).clamp(1, RANGE), 1)
        })
    }

    /// Called after `events` events were folded; waits until they are within the rate.
    pub(crate) async fn after(&mut self, events: i64) {
        let Some(rate) = self.per_second else { return };
        // A page has a few thousand events, so this does not overflow.
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
