//! Reveals personal fields for a consumer. They are encrypted in the log and on the broker. This is
//! the only place that decrypts them, whichever way they came.

use std::sync::Arc;
use std::time::Duration;

use event_store::KeyError;
use event_store::RecordedEvent;
use event_store::encryption::{Unreadable, Vault};
use postgres_kit::Pauses;

/// The first pause after the keys could not be read. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// Reveals the events of each batch.
pub(super) struct Reveal {
    vault: Option<Arc<Vault>>,
    pauses: Pauses,
}

impl Default for Reveal {
    /// Leaves all fields encrypted.
    fn default() -> Self {
        Self { vault: None, pauses: Pauses::new(RETRY_FIRST, RETRY_MOST) }
    }
}

impl Reveal {
    pub(super) fn with(vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), ..Self::default() }
    }

    /// Decrypts the fields. An event that cannot be decrypted stays encrypted: a reader of that
    /// field notices, other readers go on.
    pub(super) async fn values_of(&mut self, events: &mut [RecordedEvent]) -> Result<(), KeyError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        for Unreadable(position) in vault.reveal(events).await? {
            tracing::error!(
                position = position.0,
                "a personal field of the event cannot be decrypted"
            );
        }
        self.pauses.reset();
        Ok(())
    }

    /// The vault, for callers that reveal by themselves.
    pub(super) fn vault(&self) -> Option<Arc<Vault>> {
        self.vault.clone()
    }

    /// Waits after a failure, with backoff.
    pub(super) async fn pause(&mut self) {
        self.pauses.wait().await;
    }

    /// Drops all cached keys.
    pub(super) fn start_over(&self) {
        if let Some(vault) = &self.vault {
            vault.forget_all();
        }
    }
}
