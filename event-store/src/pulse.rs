//! Background tasks and their pulse, for health checks. A task that hangs cannot report it, so its
//! pulse does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A background task of this crate.
#[derive(Debug, Clone)]
pub struct Task {
    /// The task's name in health reports.
    pub name: &'static str,
    /// The task's pulse.
    pub pulse: Pulse,
}

/// The time of a task's last progress. A task that waits for work rests and counts as healthy. It
/// is cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Records progress: the task has work.
    pub(crate) fn beat(&self) {
        *self.last() = Some(Instant::now());
    }

    /// Records that the task waits for work.
    pub(crate) fn rest(&self) {
        *self.last() = None;
    }

    /// Returns how long the task has made no progress although it has work; zero while it rests.
    pub fn silence(&self) -> Duration {
        self.last().map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
