//! The progress of an operation. The work writes it, and the supervisor records it once a second.

use std::sync::{Mutex, MutexGuard, PoisonError};

use event_store::Position;

use crate::ops::{Progress, Work};

/// The progress of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stage {
    /// A description of the current work.
    pub(super) work: Option<String>,
    pub(super) position: i64,
    pub(super) end: i64,
}

/// Receives the progress of the work.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Stage>);

impl Told {
    pub(super) fn stage(&self) -> Stage {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Told {
    fn begins(&self, work: Work, from: Position, to: Position) {
        *self.lock() = Stage { work: Some(work.to_string()), position: from.0, end: to.0 };
    }

    fn at(&self, position: Position, end: Position) {
        let mut stage = self.lock();
        (stage.position, stage.end) = (position.0, end.0);
    }

    // The next work replaces the stage.
    fn ends(&self) {}
}
