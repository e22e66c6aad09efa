//! Reads parked events again from the log.

use std::sync::Arc;

use event_store::encryption::Vault;
use event_store::{Filter, Position, RecordedEvent, UpcastingLog};

use super::AgainError;

/// The approximate number of bytes of events in one transaction.
const MAX_DRAIN_BYTES: usize = 8 * 1_024 * 1_024;

/// The log and the keys for reading parked events again.
#[derive(Clone)]
pub(crate) struct Reread {
    pub(crate) log: UpcastingLog,
    pub(crate) vault: Option<Arc<Vault>>,
}

impl Reread {
    /// Reads the events at these positions, as projections read them. Returns only the first ones
    /// if there are too many bytes for one transaction.
    pub(super) async fn events(&self, positions: &[i64]) -> Result<Vec<RecordedEvent>, AgainError> {
        let (mut events, mut bytes) = (Vec::with_capacity(positions.len()), 0);
        for position in positions {
            if bytes >= MAX_DRAIN_BYTES {
                break;
            }
            bytes += events.last().map_or(0, |event: &RecordedEvent| event.data.get().len());
            events.extend(self.log.store().read(&Filter::All, Position(position - 1), 1).await?);
        }
        if let Some(vault) = &self.vault {
            // A field that cannot be decrypted stays encrypted, and its event is refused again.
            vault.reveal(&mut events).await?;
        }
        Ok(events)
    }
}
