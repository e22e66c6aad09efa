//! Keeps the revocations of this process up to date with the table, which other copies of the
//! command API and former runs of this one have written to.

use std::future::pending;
use std::time::Duration;

use identity::Moment;
use service_kit::Pulse;
use service_kit::health::Component;
use tokio_util::sync::CancellationToken;

use super::rounds::Rounds;
use super::{Identity, IdentityError};

/// How often the table is read. A revocation by another copy counts here after that time.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long the task may be silent before it counts as hung: longer than one read may take.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(15);

impl Identity {
    /// Reads what is revoked every second, until `stop`.
    pub async fn keep_revocations(
        &self,
        component: &Component,
        pulse: &Pulse,
        stop: CancellationToken,
    ) {
        let mut rounds = Rounds::new(READ_EVERY, pulse, stop);
        while rounds.next(pending()).await {
            match self.read_revocations().await {
                Ok(()) => component.ready(),
                Err(error) => component.not_ready(cli_kit::describe(&error)),
            }
        }
    }

    /// Reads what is revoked once.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read_revocations(&self) -> Result<(), IdentityError> {
        let parts = self.parts();
        let listed = sqlx::query!(
            "SELECT hash, before FROM auth.revocations WHERE expires_at > $1",
            parts.clock.now()
        );
        let listed = listed.fetch_all(parts.database.pool()).await?;
        parts.revocations.merge(
            listed
                .into_iter()
                .filter_map(|row| Some((row.hash.try_into().ok()?, Moment::of_micros(row.before)))),
        );
        Ok(())
    }
}
