//! In which history commands are taken: the one in which every erasure is applied. Whoever watches the log says which that is; a
//! command decides in it, and an append that meets another one puts it in doubt until the erasures are applied there too.

use std::sync::Arc;
use std::time::Duration;

use event_store::{Epoch, StoreError};
use tokio::sync::{Notify, watch};

/// How long a command waits for a new history to be settled.
const WAIT: Duration = Duration::from_secs(2);

/// The settled history. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    epoch: watch::Sender<Option<Epoch>>,
    doubted: Arc<Notify>,
}

impl Settled {
    /// Every erasure is applied in this epoch.
    pub fn settle(&self, epoch: Epoch) {
        self.epoch.send_replace(Some(epoch));
    }

    /// Whether this epoch is the settled one. If not, none is until [`Settled::settle`].
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.epoch.send_if_modified(|settled| {
            settled.is_some_and(|settled| settled != epoch) && settled.take().is_some()
        });
        self.epoch.borrow().is_some()
    }

    /// The log was met in this epoch.
    pub fn met(&self, epoch: Epoch) {
        if !self.holds(epoch) {
            self.doubted.notify_one();
        }
    }

    /// Returns when the log was met in another epoch than the settled one.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// The settled epoch; a new one is waited for, but not for long.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it takes too long.
    pub async fn epoch(&self) -> Result<Epoch, StoreError> {
        let mut epochs = self.epoch.subscribe();
        let settled = tokio::time::timeout(WAIT, epochs.wait_for(Option::is_some)).await;
        // The sender lives in `self`.
        settled
            .ok()
            .and_then(|settled| settled.ok().and_then(|epoch| *epoch))
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
        let settled = Settled::default();
        assert!(matches!(settled.epoch().await, Err(StoreError::Unavailable(None))));
        settled.settle(OLD);
        assert_eq!(settled.epoch().await.unwrap(), OLD);
        settled.met(OLD);
        assert_eq!(settled.epoch().await.unwrap(), OLD);
        settled.met(NEW);
        settled.doubted().await;
        assert!(!settled.holds(NEW) && !settled.holds(OLD));
        let (waited, ()) = tokio::join!(settled.epoch(), async { settled.settle(NEW) });
        assert_eq!(waited.unwrap(), NEW);
        assert!(settled.holds(NEW));
    }
}
