//! The pulse of a background task. A hung task cannot report itself, so readiness checks when it
//! last made progress.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Records when a task last made progress. Created by
/// [`Health::pulse`](crate::health::Health::pulse) or
/// [`Health::optional_pulse`](crate::health::Health::optional_pulse). Clones are cheap and share
/// the state.
///
/// A new pulse counts as progress. A task that ends without [`Pulse::rest`], for example by a
/// panic, is noticed like a hung one.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }

    /// Records progress. Call it at least once within the limit, even while retrying.
    pub fn beat(&self) {
        *self.last() = Some(Instant::now());
    }

    /// Records that the task is idle or done. Its silence means nothing until the next beat.
    pub fn rest(&self) {
        *self.last() = None;
    }

    /// The time since the last progress; zero while the task rests.
    pub fn silence(&self) -> Duration {
        self.last().map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
