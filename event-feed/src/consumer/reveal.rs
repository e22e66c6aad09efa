//! Personal fields on their way to a consumer: encrypted in the log and on the broker, revealed
//! here, the one place, however they came.

use std::sync::Arc;
use std::time::Duration;

use event_store::RecordedEvent;
use event_store::erasure::{KeyError, Unreadable, Vault};

/// How long to wait after the keys could not be had: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// Reveals the events of each batch.
#[derive(Default)]
pub(super) struct Reveal {
    vault: Option<Arc<Vault>>,
    pause: Option<Duration>,
}

impl Reveal {
    pub(super) fn with(vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), pause: None }
    }

    /// Puts the values in. An event that does not open is left encrypted: whoever reads the field
    /// finds out, the others go on.
    pub(super) async fn values_of(&mut self, events: &mut [RecordedEvent]) -> Result<(), KeyError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        for Unreadable(position) in vault.reveal(events).await? {
            tracing::error!(position = position.0, "a personal field of the event does not open");
        }
        self.pause = None;
        Ok(())
    }

    /// For those who reveal on their own.
    pub(super) fn vault(&self) -> Option<Arc<Vault>> {
        self.vault.clone()
    }

    /// Waits after a failure, longer each time, with jitter.
    pub(super) async fn pause(&mut self) {
        let pause = self.pause.unwrap_or(RETRY_FIRST);
        self.pause = Some((pause * 2).min(RETRY_MOST));
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
    }

    /// Asks for every key again.
    pub(super) fn begin_anew(&self) {
        if let Some(vault) = &self.vault {
            vault.forget_all();
        }
    }
}
