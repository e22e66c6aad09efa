//! Confirms, while nothing happens, that the partitions at the head of the log are complete. So
//! queries can tell rows that nothing has happened to from rows that nobody brings up to date.

use std::time::Duration;

use event_store::EventRef;

use super::{Job, Runner};

/// The least time between two confirmations.
const CONFIRM_EVERY: Duration = Duration::from_millis(800);

impl Runner {
    /// Confirms the partitions at `head`, if the job says that the log has no event after it.
    pub(super) async fn confirm(&mut self, job: &Job, head: EventRef) {
        let Some(complete_at) = job.complete_at else { return };
        let is_due = |before| complete_at.saturating_duration_since(before) >= CONFIRM_EVERY;
        if !self.confirmed.is_none_or(is_due) {
            return;
        }
        let complete: Vec<_> = self.slots.iter().filter_map(|slot| slot.owned_at(head)).collect();
        // One connection serves all.
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.mark() == Some(head)) else {
            return;
        };
        if slot.confirm(complete, complete_at).await {
            self.confirmed = Some(complete_at);
        }
    }
}
