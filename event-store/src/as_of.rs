//! Past moments as of which a stream's state can be loaded.

use chrono::{DateTime, Utc};

use crate::event::{EventRef, Position, RecordedEvent};
use crate::stream::Version;

/// A moment in the history of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// When the stream had this version.
    Version(Version),
    /// When the log ended at this position.
    Position(Position),
    /// At this time, including the events recorded at exactly this time.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Whether the event had happened by this moment.
    pub fn includes(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Version(version) => event.version <= *version,
            Self::Position(position) => event.position <= *position,
            Self::Time(time) => event.recorded_at <= *time,
        }
    }

    /// Whether all events up to this version had happened by this moment; false if that is unknown.
    pub(crate) fn includes_all(&self, version: Version, last: EventRef) -> bool {
        match self {
            Self::Version(bound) => version <= *bound,
            Self::Position(bound) => last.position <= *bound,
            Self::Time(_) => false,
        }
    }
}
