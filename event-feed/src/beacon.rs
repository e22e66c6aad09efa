//! The beacon: the leading relay publishes the log's head every second on a core subject outside
//! the stream. A stream that has lost its tail shows no gap, but the beacon tells its readers that
//! there is more.

use event_store::{Epoch, EventRef, Head, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The core NATS subject of beacons.
pub const BEACON_SUBJECT: &str = "relay.head";

/// The log's epoch and last event, sent as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// The epoch, which identifies a history of the log.
    pub epoch: Epoch,
    /// The position of the last event.
    pub position: Position,
    /// The id of the last event; `None` if the log is empty.
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
