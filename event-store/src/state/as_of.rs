//! Moments at which a stream's state can be asked for.

use chrono::{DateTime, Utc};

use crate::event::{EventRef, Position, RecordedEvent};
use crate::stream::Version;

/// A moment in the life of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// With this version.
    Version(Version),
    /// When the log ended at this position.
    Position(Position),
    /// At this time, the events recorded at it included.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Whether the event had happened then.
    pub fn includes(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Version(version) => event.version <= *version,
            Self::Position(position) => event.position <= *position,
            Self::Time(time) => event.recorded_at <= *time,
        }
    }

    /// Whether all up to this version and event had happened then; when that cannot be told, no.
    pub(super) fn includes_all(&self, version: Version, last: EventRef) -> bool {
        match self {
            Self::Version(bound) => version <= *bound,
            Self::Position(bound) => last.position <= *bound,
            Self::Time(_) => false,
        }
    }
}
