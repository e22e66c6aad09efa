//! The beacon: the leading relay tells the log's head every second on a core subject, outside the
//! stream, so that a reader whose stream has lost its tail (which leaves no gap to see) learns that
//! there is more.

use event_store::{Epoch, EventRef, Head, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The core subject.
pub const BEACON_SUBJECT: &str = "relay.head";

/// The log's epoch and last event, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// The epoch: the history that the log is in.
    pub epoch: Epoch,
    /// The position of its last event.
    pub position: Position,
    /// The id of that event; none when the log is empty.
    pub event_id: Option<Uuid>,
}

impl From<Head> for Beacon {
    fn from(head: Head) -> Self {
        Self { epoch: head.epoch, position: head.mark.position, event_id: head.mark.event_id }
    }
}

impl From<Beacon> for Head {
    fn from(beacon: Beacon) -> Self {
        Self {
            epoch: beacon.epoch,
            mark: EventRef { position: beacon.position, event_id: beacon.event_id },
        }
    }
}
