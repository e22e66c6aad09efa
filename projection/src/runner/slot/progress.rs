//! How a partition gets on, as people are told.

use chrono::{DateTime, Utc};
use event_store::{Epoch, Position};
use tokio::time::Instant;

/// How a partition gets on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The last event that took effect, as far as this process knows.
    pub(crate) position: Position,
    /// The newest known position of the log.
    pub(crate) head: Position,
    /// When the oldest event that has not taken effect was recorded, where that is known.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// When it last moved or had nothing to do.
    pub(crate) moved_at: Instant,
    /// How many (event, key) pairs are parked.
    pub(crate) parked: usize,
    pub(super) mode: &'static str,
    /// The epoch in which the log goes on after the partition's position, as far as this process
    /// knows.
    pub(super) epoch: Option<Epoch>,
}

impl Progress {
    pub(super) fn unknown() -> Self {
        let (position, head) = (Position::START, Position::START);
        Self {
            position,
            head,
            oldest: None,
            moved_at: Instant::now(),
            parked: 0,
            mode: "starting",
            epoch: None,
        }
    }
}
