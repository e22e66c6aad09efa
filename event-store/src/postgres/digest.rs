//! Digests of stretches of the log, chained, made behind the head by whichever process has
//! the task.
//!
//! The database works the digests out (`event_store.digest_log`), so that nobody can digest what
//! does not stand in the log; several processes may digest at once, and the slower one changes
//! nothing. [`super::verify`] works them out once more.
//!
//! The log is digested behind its head because a chain over every event would be worked out while
//! the lock is held (see the figures in `postgres.rs`). `event-store verify` works the digests out
//! again and names an event that was changed, removed or moved.

use std::time::Duration;

use futures::FutureExt as _;

use super::{PostgresStore, connect};
use crate::error::StoreError;
use crate::event::Position;

/// The most events of one digest.
pub const DIGEST_EVENTS: i32 = 1_000;
/// The name of the task that digests.
pub const DIGESTING: &str = "digesting";
/// How often it is looked whether there is something to digest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so many looks a stretch is digested that is shorter than [`DIGEST_EVENTS`].
const SHORT_AFTER: u32 = 30;

impl PostgresStore {
    /// Digests up to [`DIGEST_EVENTS`] events after the last digest, and says up to where the log
    /// is digested now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever
    /// else it said: a lack of rights, or a gap in the log (SQLSTATE DB003), which `event-store
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

    /// Digests behind the head for as long as it is polled: whole stretches at once, a shorter one
    /// after half a minute. Never ends. Its pulse is among [`PostgresStore::tasks`].
    pub async fn keep_digesting(&self) -> std::convert::Infallible {
        let mut digested = Position::START;
        let mut looks = 0;
        loop {
            self.inner.digesting.beat();
            tokio::time::sleep(LOOK_EVERY).await;
            let newest = *self.inner.continuity.positions().borrow();
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
            // What is left of a long stretch is due at the next look.
            looks = if newest.0 - digested.0 >= DIGEST_EVENTS.into() { SHORT_AFTER } else { 0 };
        }
    }
}
