//! When each of many events was committed or announced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The moments of numbered events, shared by those who write and those who read them.
#[derive(Debug)]
pub(in crate::bench) struct Moments {
    started: Instant,
    /// Microseconds since the start; 0 before the event.
    at: Vec<AtomicU64>,
}

impl Moments {
    /// So many events, none of which has happened.
    pub(in crate::bench) fn new(events: u64) -> Self {
        let at = (0..events).map(|_| AtomicU64::new(0)).collect();
        Self { started: Instant::now(), at }
    }

    /// The time since the start.
    pub(in crate::bench) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records that these events happen now.
    pub(in crate::bench) fn record(&self, events: impl Iterator<Item = u64>) {
        let now = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX).max(1);
        for event in events {
            if let Some(at) = self.of(event) {
                at.store(now, Ordering::Release);
            }
        }
    }

    /// When an event happened. `None` if it has not.
    pub(in crate::bench) fn get(&self, event: u64) -> Option<Duration> {
        let at = self.of(event)?.load(Ordering::Acquire);
        (at > 0).then(|| Duration::from_micros(at))
    }

    fn of(&self, event: u64) -> Option<&AtomicU64> {
        self.at.get(usize::try_from(event).ok()?)
    }
}
