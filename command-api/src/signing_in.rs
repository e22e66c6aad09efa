//! The background tasks of log-ins: mails, revocations, users who leave, and upkeep.

use std::num::NonZero;
use std::sync::Arc;

use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio_util::sync::CancellationToken;

use crate::application::repository::Departures;
use crate::auth::mail::sender::{self, Sender};
use crate::auth::upkeep::Retention;
use crate::auth::{Identity, departure, revocations, upkeep};
use crate::config::SessionArgs;

/// Identity with the tasks that it needs.
pub(crate) struct SigningIn {
    pub(crate) identity: Identity,
    mails: Sender,
    retention: Retention,
    known: Component,
    followed: Component,
    pulses: [Pulse; 4],
}

impl SigningIn {
    /// The tasks, with their components in the report of health. The process is ready only when it
    /// knows what is revoked. The others can wait.
    pub(crate) fn new(
        identity: Identity,
        mails: Sender,
        sessions: &SessionArgs,
        health: &Health,
    ) -> Self {
        let pulses = [
            health.pulse("revocations_read", revocations::SILENCE_LIMIT),
            health.optional_pulse("departed_users", departure::SILENCE_LIMIT),
            health.optional_pulse("mails", sender::SILENCE_LIMIT),
            health.optional_pulse("identity_upkeep", upkeep::SILENCE_LIMIT),
        ];
        let known = health.component("revocations");
        let followed = health.optional_component("departed_users");
        let retention = sessions.retention();
        Self { identity, mails, retention, known, followed, pulses }
    }

    /// The port through which commands report users who are deactivated.
    pub(crate) fn departures(&self) -> Arc<dyn Departures> {
        Arc::new(self.identity.clone())
    }

    /// Works until `drain`, and knows what is revoked until `served`.
    pub(crate) async fn work(self, drain: CancellationToken, served: CancellationToken) {
        let Self { identity, mails, retention, known, followed, pulses } = self;
        let [read, departed, mailed, tidied] = pulses;
        tokio::join!(
            identity.keep_revocations(&known, &read, served.clone()),
            identity.keep_following(&followed, &departed, served),
            mails.run(&identity, mailed, drain.clone()),
            identity.keep_tidy(retention, &tidied, drain)
        );
    }
}

/// The number of passwords that are hashed at once: half of the processor's threads. The others
/// stay free for commands.
pub(crate) fn password_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}
