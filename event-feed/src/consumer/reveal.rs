//! Personal fields on their way to a consumer: encrypted in the log and on the broker, revealed
//! here, the one place, however they came.

use std::sync::Arc;
use std::time::Duration;

use event_store::KeyError;
use event_store::RecordedEvent;
use event_store::encryption::{Unreadable, Vault};
use postgres_kit::Pauses;

/// How long to wait after the keys could not be had: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// Reveals the events of each batch.
pub(super) struct Reveal {
    vault: Option<Arc<Vault>>,
    pauses: Pauses,
}

impl Default for Reveal {
    /// Leaves everything encrypted.
    fn default() -> Self {
        Self { vault: None, pauses: Pauses::new(RETRY_FIRST, RETRY_MOST) }
    }
}

impl Reveal {
    pub(super) fn with(vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), ..Self::default() }
    }

    /// Puts the values in. An event that does not open is left encrypted: a reader of the field
    /// finds out, the others go on.
    pub(super) async fn values_of(&mut self, events: &mut [RecordedEvent]) -> Result<(), KeyError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        for Unreadable(position) in vault.reveal(events).await? {
            tracing::error!(position = position.0, "a personal field of the event does not open");
        }
        self.pauses.reset();
        Ok(())
    }

    /// For those who reveal on their own.
    pub(super) fn vault(&self) -> Option<Arc<Vault>> {
        self.vault.clone()
    }

    /// Waits after a failure, longer each time, with jitter.
    pub(super) async fn pause(&mut self) {
        self.pauses.wait().await;
    }

    /// Asks for every key again.
    pub(super) fn start_over(&self) {
        if let Some(vault) = &self.vault {
            vault.forget_all();
        }
    }
}
