//! Measures how far a target is behind the log.
//!
//! The leader reports the lag with every batch. While it cannot publish, for example because the
//! broker is away, a task measures the lag against the store's head. If that fails too, the metrics
//! are unknown, so they never wrongly show that all is well.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventStore, Filter, Position, StoreError};
use service_kit::clock::SharedClock;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::metrics;

/// How long the store may take to answer. After that the lag is unknown.
const LIMIT: Duration = Duration::from_secs(2);

/// The lag as reported by the leader.
pub(super) struct Lag {
    target: &'static str,
    clock: SharedClock,
    told: Mutex<Told>,
}

#[derive(Clone, Copy, PartialEq)]
struct Told {
    /// The last event known to be in the target; unknown at first.
    position: Option<Position>,
    at: Option<Instant>,
}

/// The events in the log that are not known to be in the target.
struct Waiting {
    head: Position,
    /// The time at which the first of them was recorded; `None` if there are none.
    since: Option<DateTime<Utc>>,
}

impl Lag {
    /// Creates an unknown lag, until the leader reports where the target ends.
    pub(super) fn new(target: &'static str, clock: SharedClock) -> Self {
        metrics::unknown(target);
        Self { target, clock, told: Mutex::new(Told { position: None, at: None }) }
    }

    /// Reports that the target has all events up to `position`. `oldest_left` is the time of the
    /// oldest known event after it.
    pub(super) fn tell(
        &self,
        position: Position,
        head: Position,
        oldest_left: Option<DateTime<Utc>>,
    ) {
        *self.told() = Told { position: Some(position), at: Some(Instant::now()) };
        self.show(position, head, oldest_left);
    }

    /// Measures the lag whenever the leader has reported nothing for this long. Never ends.
    pub(super) async fn measure(&self, store: &dyn EventStore, every: Duration) -> Infallible {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let told = *self.told();
            if told.at.is_some_and(|at| at.elapsed() < every) {
                continue;
            }
            let waiting = match told.position {
                Some(position) => {
                    timeout(LIMIT, waiting(store, position)).await.ok().and_then(Result::ok)
                }
                None => None,
            };
            // A report of the leader in the meantime is newer.
            if *self.told() == told {
                match told.position.zip(waiting) {
                    Some((position, Waiting { head, since })) => self.show(position, head, since),
                    None => metrics::unknown(self.target),
                }
            }
        }
    }

    fn show(&self, position: Position, head: Position, oldest: Option<DateTime<Utc>>) {
        let age = oldest.map_or(0.0, |at| (self.clock.now() - at).as_seconds_f64());
        metrics::progress(self.target, position.0, head.0, age);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lag {
    /// A former leader does not know the state of the target.
    fn drop(&mut self) {
        metrics::unknown(self.target);
    }
}

async fn waiting(store: &dyn EventStore, position: Position) -> Result<Waiting, StoreError> {
    let head = store.head().await?.mark.position;
    if head <= position {
        return Ok(Waiting { head, since: None });
    }
    let first = store.read(&Filter::All, position, 1).await?;
    Ok(Waiting { head, since: first.first().map(|event| event.recorded_at) })
}
