//! What all feeds of a process share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use event_store::encryption::{Vault, WrappedKey};
use event_store::{EventStore, KeyError};
use service_kit::clock::SharedClock;
use uuid::Uuid;

use crate::limits::Limits;
use crate::reach::{InvalidReceiverUrl, Reach, ReceiverUrl};
use crate::receiver::{NoReceiver, Receiver};
use crate::secret::Wrapping;
use crate::tables::{Plan, Tables};

/// The log, the tables and the settings of sending. It is cheap to clone.
#[derive(Clone)]
pub struct Sending {
    /// The log. Its personal fields are encrypted.
    pub log: Arc<dyn EventStore>,
    /// The tables.
    pub tables: Tables,
    /// Opens the secrets.
    pub wrapping: Wrapping,
    /// Reveals personal fields for subscriptions that may have them. It must not keep keys, so that
    /// an erasure takes effect at once: see [`NO_CACHE`].
    pub vault: Option<Arc<Vault>>,
    /// Which addresses receivers may have.
    pub reach: Reach,
    /// The limits.
    pub limits: Limits,
    /// The clock of signatures.
    pub clock: SharedClock,
}

/// The options of a vault that asks the key store for every message.
pub const NO_CACHE: event_store::encryption::VaultOptions = event_store::encryption::VaultOptions {
    cached_keys: 1,
    key_lifetime: std::time::Duration::ZERO,
};

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reach, limits, .. } = self;
        f.debug_struct("Sending")
            .field("reach", reach)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// Why there is no receiver for a subscription.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiverError {
    #[error(transparent)]
    Url(#[from] InvalidReceiverUrl),
    #[error("the secret of the subscription cannot be opened")]
    Secret(#[source] KeyError),
    #[error(transparent)]
    Client(#[from] NoReceiver),
}

/// A receiver is made again when one of these changes.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    url: String,
    secret: WrappedKey,
    old_secret: Option<WrappedKey>,
}

/// The receivers of active subscriptions. All feeds of a subscription share its limits.
#[derive(Debug, Default)]
pub(crate) struct Receivers(Mutex<HashMap<Uuid, (Made, Arc<Receiver>)>>);

impl Receivers {
    /// The receiver of the feed's subscription, as it is now.
    pub(crate) async fn of(
        &self,
        plan: &Plan,
        sending: &Sending,
    ) -> Result<Arc<Receiver>, ReceiverError> {
        let made = Made {
            url: plan.url.clone(),
            secret: plan.secret.clone(),
            old_secret: plan.old_secret.clone(),
        };
        if let Some(known) = self.known(plan.subscription, &made) {
            return Ok(known);
        }
        let url: ReceiverUrl = plan.url.parse()?;
        let mut secrets = Vec::new();
        for wrapped in std::iter::once(&plan.secret).chain(&plan.old_secret) {
            let opened = sending.wrapping.unwrap(plan.subscription, wrapped.clone()).await;
            secrets.push(opened.map_err(ReceiverError::Secret)?);
        }
        let (name, clock) = (format!("webhook {}", plan.subscription), sending.clock.clone());
        let limits = (&sending.reach, &sending.limits);
        let receiver = Arc::new(Receiver::new(&name, url, secrets, limits, clock)?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(plan.subscription, (made, Arc::clone(&receiver)));
        Ok(receiver)
    }

    fn known(&self, subscription: Uuid, made: &Made) -> Option<Arc<Receiver>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&subscription)
            .filter(|(known, _)| known == made)
            .map(|(_, receiver)| Arc::clone(receiver))
    }

    /// Forgets the receivers of all other subscriptions.
    pub(crate) fn keep(&self, subscriptions: &[Uuid]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|subscription, _| subscriptions.contains(subscription));
    }
}
