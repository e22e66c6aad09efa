//! The progress of a partition, as it is reported.

use chrono::{DateTime, Utc};
use event_store::{Epoch, Position};
use tokio::time::Instant;

/// The progress of a partition, as far as this process knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The position of the last event that took effect.
    pub(crate) position: Position,
    /// The newest known position of the log.
    pub(crate) head: Position,
    /// When the oldest event that has not taken effect was recorded, if that is known.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// When it last moved, made progress within an event, or had nothing to do.
    pub(crate) moved_at: Instant,
    /// The number of parked (event, key) pairs.
    pub(crate) parked: usize,
    pub(super) mode: &'static str,
    /// The epoch in which the log continues after the partition's position, if that is known.
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
