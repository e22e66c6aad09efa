//! The pulse of a background task: a task that hangs cannot say so itself, so readiness looks at
//! when it last moved.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a task last moved. Made by [`Health::pulse`](crate::health::Health::pulse) or
/// [`Health::optional_pulse`](crate::health::Health::optional_pulse). Cheap to clone; clones share
/// it.
///
/// A new one counts as moving. A task that ends without a [`Pulse::rest`], by a panic say, is
/// noticed like one that hangs.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }

    /// The task moves. Call it at least once within the limit, also while something is tried again
    /// and again.
    pub fn beat(&self) {
        *self.last() = Some(Instant::now());
    }

    /// The task has nothing to do, or is done: its silence means nothing until it beats again.
    pub fn rest(&self) {
        *self.last() = None;
    }

    /// For how long the task has not moved; zero while it rests.
    pub fn silence(&self) -> Duration {
        self.last().map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
