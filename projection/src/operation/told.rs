//! How far an operation is, as its work tells it. The keeper of the record reads it once a second.

use std::sync::{Mutex, MutexGuard, PoisonError};

use event_store::Position;

use crate::ops::{Progress, Work};

/// How far an operation is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stage {
    /// What is being done, in words.
    pub(super) work: Option<String>,
    pub(super) position: i64,
    pub(super) end: i64,
}

/// Takes down what the work tells.
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

    // What comes next says so itself.
    fn ends(&self) {}
}
