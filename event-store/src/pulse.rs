//! Background tasks and their pulse, for the code that has to say whether the process can do its
//! work: a task that hangs cannot say so itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A background task of this crate.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name, as health reports show it.
    pub name: &'static str,
    /// When it last moved.
    pub pulse: Pulse,
}

/// When a task last moved. While it waits for something to do it rests, and says nothing. Cheap to
/// clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// The task has something to do and moves.
    pub(crate) fn beat(&self) {
        *self.last() = Some(Instant::now());
    }

    /// The task waits for something to do.
    pub(crate) fn rest(&self) {
        *self.last() = None;
    }

    /// For how long the task has not moved although it has something to do; zero while it rests.
    pub fn silence(&self) -> Duration {
        self.last().map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
