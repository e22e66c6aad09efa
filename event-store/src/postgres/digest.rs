//! Chained digests of stretches of the log, made behind the head by every process that runs the
//! task.
//!
//! The database computes the digests (`event_store.digest_log`), so nobody can digest data that is
//! not in the log. Several processes may digest at once; the slower one changes nothing.
//! [`super::verify`] computes them again.
//!
//! Digests are made behind the head because a chain over every event would have to be computed
//! under the lock (see the measurements in `postgres.rs`). `event-store verify` recomputes the
//! digests and names an event that was changed, removed or moved.

use std::time::Duration;

use futures::FutureExt as _;

use super::{PostgresStore, connect};
use crate::error::StoreError;
use crate::event::Position;

/// The maximum number of events of one digest.
pub const DIGEST_EVENTS: i32 = 1_000;
/// The name of the digesting task.
pub const DIGESTING: &str = "digesting";
/// The interval between checks for events to digest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The number of checks after which a stretch shorter than [`DIGEST_EVENTS`] is digested.
const SHORT_AFTER: u32 = 30;

impl PostgresStore {
    /// Digests up to [`DIGEST_EVENTS`] events after the last digest, and returns the last digested
    /// position.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres cannot be reached. [`StoreError::Database`] for
    /// any other error: missing rights, or a gap in the log (SQLSTATE DB003), which `event-store
    /// verify` names.
    pub async fn digest(&self) -> Result<Position, StoreError> {
        self.inner.continuity.check().await?;
        let digested = connect::write(&self.inner.scan, |connection| {
            async move {
                Ok(sqlx::query_file!("sql/digest_log.sql", DIGEST_EVENTS)
                    .fetch_one(connection)
                    .await?
                    .digested_to)
            }
            .boxed()
        })
        .await?;
        Ok(Position(digested))
    }

    /// Digests behind the head as long as it is polled: full stretches at once, a shorter one after
    /// half a minute. It never ends. Its pulse is among [`PostgresStore::tasks`].
    pub async fn keep_digesting(&self) -> std::convert::Infallible {
        let mut digested = Position::START;
        let mut looks = 0;
        loop {
            self.inner.digesting.beat();
            tokio::time::sleep(LOOK_EVERY).await;
            let newest = self.inner.continuity.position();
            // A new epoch may have begun with fewer events.
            digested = if newest < digested { Position::START } else { digested };
            let left = newest.0 - digested.0;
            looks += 1;
            if left <= 0 || (left < DIGEST_EVENTS.into() && looks < SHORT_AFTER) {
                continue;
            }
            match self.digest().await {
                Ok(to) => digested = to,
                Err(error) => {
                    tracing::warn!(%error, "the log could not be digested; it will be tried again");
                }
            }
            // The rest of a long stretch is due at the next check.
            looks = if newest.0 - digested.0 >= DIGEST_EVENTS.into() { SHORT_AFTER } else { 0 };
        }
    }
}
