//! Deletes what is no longer needed: expired proofs and revocations, sessions that ended long ago,
//! and network addresses.

use std::future::pending;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::Pulse;
use tokio_util::sync::CancellationToken;

use super::rounds::Rounds;
use super::{Identity, IdentityError};

/// How often it is done.
const EVERY: Duration = Duration::from_mins(1);
/// How long the task may be silent before it counts as hung.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(3);
/// The maximum number of rows that one statement changes. The rest waits for the next time.
const MAX_ROWS: i64 = 1_000;

/// How long is kept what is needed no more.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The network addresses of sessions.
    pub addresses: TimeDelta,
    /// Sessions that have ended, and API keys that were revoked or have expired.
    pub ended: TimeDelta,
}

/// What was deleted or emptied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// The number of revocations.
    pub revocations: u64,
    /// The number of proofs that nobody showed in time.
    pub proofs: u64,
    /// The number of sessions.
    pub sessions: u64,
    /// The number of API keys.
    pub keys: u64,
    /// The number of sessions that lost their address.
    pub addresses: u64,
}

impl Identity {
    /// Deletes every minute, until `stop`.
    pub async fn keep_tidy(&self, retention: Retention, pulse: &Pulse, stop: CancellationToken) {
        let mut rounds = Rounds::new(EVERY, pulse, stop);
        while rounds.next(pending()).await {
            match self.tidy(retention).await {
                Ok(removed) if removed == Removed::default() => {}
                Ok(removed) => tracing::info!(?removed, "old rows of identity are deleted"),
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "old rows of identity could not be deleted");
                }
            }
        }
    }

    /// Deletes once.
    ///
    /// # Errors
    /// The database failed. What was deleted before stays deleted.
    pub async fn tidy(&self, retention: Retention) -> Result<Removed, IdentityError> {
        let parts = self.parts();
        let (pool, now) = (parts.database.pool(), parts.clock.now());
        let before =
            |age: TimeDelta| now.checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let revocations = sqlx::query!(
            "DELETE FROM auth.revocations WHERE hash IN (
                 SELECT hash FROM auth.revocations WHERE expires_at <= $1 LIMIT $2)",
            now,
            MAX_ROWS
        );
        let revocations = revocations.execute(pool).await?.rows_affected();
        let proofs = sqlx::query!(
            "DELETE FROM auth.pending WHERE pending_id IN (
                 SELECT pending_id FROM auth.pending WHERE expires_at <= $1 LIMIT $2)",
            now,
            MAX_ROWS
        );
        let proofs = proofs.execute(pool).await?.rows_affected();
        let ended = before(retention.ended);
        let (idle, absolute) = (parts.limits.idle, parts.limits.absolute);
        let limit = |limit| before(TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX));
        let sessions = sqlx::query!(
            "DELETE FROM auth.sessions WHERE session_id IN (
                 SELECT session_id FROM auth.sessions
                 WHERE ended_at <= $1 OR used_at <= least($1, $2) OR created_at <= least($1, $3)
                 LIMIT $4)",
            ended,
            limit(idle),
            limit(absolute),
            MAX_ROWS
        );
        let sessions = sessions.execute(pool).await?.rows_affected();
        let keys = sqlx::query!(
            "DELETE FROM auth.api_keys WHERE key_id IN (
                 SELECT key_id FROM auth.api_keys WHERE revoked_at <= $1 OR expires_at <= $1
                 LIMIT $2)",
            ended,
            MAX_ROWS
        );
        let keys = keys.execute(pool).await?.rows_affected();
        let addresses = sqlx::query!(
            "UPDATE auth.sessions SET address = NULL WHERE session_id IN (
                 SELECT session_id FROM auth.sessions WHERE address IS NOT NULL AND created_at <= $1
                 LIMIT $2)",
            before(retention.addresses),
            MAX_ROWS
        );
        let addresses = addresses.execute(pool).await?.rows_affected();
        Ok(Removed { revocations, proofs, sessions, keys, addresses })
    }
}
