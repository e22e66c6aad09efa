//! Sealing: digests of stretches of the log, chained, made behind the head by whichever process has the task.
//!
//! The database works the digests out (`event_store.seal`), so that nobody can seal what does not stand in the log; several processes may
//! seal at once, and the slower one changes nothing. [`super::verify`] works them out once more.

use std::time::Duration;

use futures::FutureExt as _;

use super::{PostgresStore, connect};
use crate::error::StoreError;
use crate::event::Position;

/// The most events of one seal.
pub const SEAL_EVENTS: i32 = 1_000;
/// The name of the task that seals.
pub const SEALING: &str = "sealing";
/// How often it is looked whether there is something to seal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so many looks a stretch is sealed that is shorter than [`SEAL_EVENTS`].
const SHORT_AFTER: u32 = 30;

impl PostgresStore {
    /// Seals up to [`SEAL_EVENTS`] events after the last seal, and says up to where the log is sealed now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever else it said: a lack of rights, or a gap in
    /// the log (SQLSTATE DB003), which `event-store verify` names.
    pub async fn seal(&self) -> Result<Position, StoreError> {
        self.inner.continuity.check().await?;
        let sealed = connect::write(&self.inner.by_choice, |connection| {
            async move {
                Ok(sqlx::query_file!("sql/digest_log.sql", SEAL_EVENTS)
                    .fetch_one(connection)
                    .await?
                    .sealed_to)
            }
            .boxed()
        })
        .await?;
        Ok(Position(sealed))
    }

    /// Seals behind the head for as long as it is polled: whole stretches at once, a shorter one after half a minute. Never ends. Its pulse
    /// is among [`PostgresStore::tasks`].
    pub async fn keep_sealing(&self) -> std::convert::Infallible {
        let mut sealed = Position::START;
        let mut looks = 0;
        loop {
            self.inner.sealing.beat();
            tokio::time::sleep(LOOK_EVERY).await;
            let newest = *self.inner.continuity.positions().borrow();
            // A new epoch may have begun with fewer events.
            sealed = if newest < sealed { Position::START } else { sealed };
            let left = newest.0 - sealed.0;
            looks += 1;
            if left <= 0 || (left < SEAL_EVENTS.into() && looks < SHORT_AFTER) {
                continue;
            }
            match self.seal().await {
                Ok(to) => sealed = to,
                Err(error) => {
                    tracing::warn!(%error, "the log could not be sealed; it will be tried again")
                }
            }
            // What is left of a long stretch is due at the next look.
            looks = if newest.0 - sealed.0 >= SEAL_EVENTS.into() { SHORT_AFTER } else { 0 };
        }
    }
}
