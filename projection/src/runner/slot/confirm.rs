//! What is confirmed of a partition, and with whose connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use event_store::EventRef;
use tokio::time::{Instant, timeout};

use super::{Slot, State};
use crate::runner::PartitionKey;
use crate::runner::checkpoint::Checkpoint;

/// How long a confirmation may take. The other partitions wait for it, and their leases must not
/// expire meanwhile.
const CONFIRM_LIMIT: Duration = Duration::from_secs(1);

impl Slot {
    /// The partition and its checkpoint, if this process owns it and it is at this event.
    pub(crate) fn owned_at(&self, at: EventRef) -> Option<(Arc<PartitionKey>, Checkpoint)> {
        match &self.state {
            State::Owned(owned) if owned.checkpoint.mark == at => {
                Some((Arc::clone(&owned.key), owned.checkpoint))
            }
            _ => None,
        }
    }

    /// Confirms with this partition's connection that all of these were complete at a time. Returns
    /// whether that is recorded.
    pub(crate) async fn confirm(
        &mut self,
        complete: Vec<(Arc<PartitionKey>, Checkpoint)>,
        complete_at: Instant,
    ) -> bool {
        let Some(mut owned) = self.take_owned() else { return false };
        // In a separate task, so that no dropped future leaves a call half done.
        let task = tokio::spawn(async move {
            let confirmed = owned.confirm(&complete, complete_at.elapsed()).await;
            (owned, confirmed)
        });
        let Ok(ended) = timeout(CONFIRM_LIMIT, task).await else {
            let late = io::Error::new(io::ErrorKind::TimedOut, "a confirmation took too long");
            self.failed(sqlx::Error::Io(late).into());
            return false;
        };
        match ended {
            Ok((owned, Ok(()))) => {
                self.state = State::Owned(owned);
                return true;
            }
            Ok((_, Err(error))) => self.failed(error.into()),
            Err(panic) => self.panicked(&panic),
        }
        false
    }
}
