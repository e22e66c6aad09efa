//! The epoch in which commands are accepted: one in which every erasure is applied.
//!
//! The task that watches the log names this epoch. A command decides in it. If an append meets
//! another epoch, the gate closes until the erasures are applied there too.

use std::sync::Arc;
use std::time::Duration;

use event_store::{Epoch, StoreError};
use tokio::sync::{Notify, watch};

/// How long a command waits for the gate to open in a new epoch.
const WAIT: Duration = Duration::from_secs(2);

/// The epoch in which commands are accepted, if there is one now. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ErasureGate {
    epoch: watch::Sender<Option<Epoch>>,
    doubted: Arc<Notify>,
}

impl ErasureGate {
    /// Opens the gate for this epoch, after every erasure is applied in it.
    pub fn settle(&self, epoch: Epoch) {
        self.epoch.send_replace(Some(epoch));
    }

    /// Whether the gate is open for this epoch. If not, the gate closes until
    /// [`ErasureGate::settle`].
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.epoch.send_if_modified(|erasure_gate| {
            erasure_gate.is_some_and(|erasure_gate| erasure_gate != epoch)
                && erasure_gate.take().is_some()
        });
        self.epoch.borrow().is_some()
    }

    /// Reports the epoch that the log has. Unless the gate is open for it, this closes the gate and
    /// wakes [`ErasureGate::doubted`].
    pub fn met(&self, epoch: Epoch) {
        if !self.holds(epoch) {
            self.doubted.notify_one();
        }
    }

    /// Waits until the log is met in another epoch than the one of the gate.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// The epoch in which commands are accepted. Waits a short time if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that takes too long.
    pub async fn epoch(&self) -> Result<Epoch, StoreError> {
        let mut epochs = self.epoch.subscribe();
        let erasure_gate = tokio::time::timeout(WAIT, epochs.wait_for(Option::is_some)).await;
        // The sender lives in `self`, so it is not gone.
        erasure_gate
            .ok()
            .and_then(|erasure_gate| erasure_gate.ok().and_then(|epoch| *epoch))
            .ok_or(StoreError::Unavailable(None))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;

    const OLD: Epoch = Epoch(Uuid::from_u128(1));
    const NEW: Epoch = Epoch(Uuid::from_u128(2));

    #[tokio::test(start_paused = true)]
    async fn commands_wait_for_a_new_epoch_to_be_settled_and_are_refused_when_it_takes_too_long() {
        let erasure_gate = ErasureGate::default();
        assert!(matches!(erasure_gate.epoch().await, Err(StoreError::Unavailable(None))));
        erasure_gate.settle(OLD);
        assert_eq!(erasure_gate.epoch().await.unwrap(), OLD);
        erasure_gate.met(OLD);
        assert_eq!(erasure_gate.epoch().await.unwrap(), OLD);
        erasure_gate.met(NEW);
        erasure_gate.doubted().await;
        assert!(!erasure_gate.holds(NEW) && !erasure_gate.holds(OLD));
        let (waited, ()) = tokio::join!(erasure_gate.epoch(), async { erasure_gate.settle(NEW) });
        assert_eq!(waited.unwrap(), NEW);
        assert!(erasure_gate.holds(NEW));
    }
}
