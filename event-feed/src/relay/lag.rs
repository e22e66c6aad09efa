//! How far the stream is behind the log.
//!
//! The leader tells it with every batch. While it cannot publish, because the broker is away say, a
//! task measures the lag against the store's own head; while that cannot be had either, the figures
//! say that they are unknown, never that all is well.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventStore, Filter, Position, StoreError};
use service_kit::clock::SharedClock;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::metrics;

/// How long the store may take to say how far the stream is behind. After it the lag is unknown.
const LIMIT: Duration = Duration::from_secs(2);

/// What the leader has told.
pub(super) struct Lag {
    clock: SharedClock,
    told: Mutex<Told>,
}

#[derive(Clone, Copy, PartialEq)]
struct Told {
    /// Up to where the events are known to be in the stream; unknown at first.
    position: Option<Position>,
    at: Option<Instant>,
}

/// What is in the log and not known to be in the stream.
struct Waiting {
    head: Position,
    /// When the first of it was recorded; `None`: there is nothing.
    since: Option<DateTime<Utc>>,
}

impl Lag {
    /// Unknown until the leader says where the stream ends.
    pub(super) fn new(clock: SharedClock) -> Self {
        metrics::unknown();
        Self { clock, told: Mutex::new(Told { position: None, at: None }) }
    }

    /// The stream has all up to `position`. The oldest event after it that the leader knows of was
    /// recorded then.
    pub(super) fn tell(
        &self,
        position: Position,
        head: Position,
        oldest_left: Option<DateTime<Utc>>,
    ) {
        *self.told() = Told { position: Some(position), at: Some(Instant::now()) };
        self.show(position, head, oldest_left);
    }

    /// Measures whenever the leader has said nothing for this long. Never ends.
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
            // What the leader said meanwhile is newer.
            if *self.told() == told {
                match told.position.zip(waiting) {
                    Some((position, Waiting { head, since })) => self.show(position, head, since),
                    None => metrics::unknown(),
                }
            }
        }
    }

    fn show(&self, position: Position, head: Position, oldest: Option<DateTime<Utc>>) {
        let age = oldest.map_or(0.0, |at| (self.clock.now() - at).as_seconds_f64());
        metrics::progress(position.0, head.0, age);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lag {
    /// Who does not lead any more knows nothing of the stream.
    fn drop(&mut self) {
        metrics::unknown();
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
