//! The right to work on the operations of one kind, and the record of their progress.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use postgres_kit::Connection;

use super::{Kind, LOCKS, Operation, PostgresOptions, connect, find};
use crate::event::Epoch;

/// The maximum pause before an operation is retried.
pub const MAX_RETRY_PAUSE: Duration = Duration::from_mins(1);

/// The right to work on the operations of one kind. It lasts as long as its connection.
#[derive(Debug)]
pub struct Turn(Connection);

impl Turn {
    /// Takes the turn on a new connection. `None` while another process has it.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn take(options: &PostgresOptions, kind: Kind) -> sqlx::Result<Option<Self>> {
        let mut connection = connect(options).await?;
        let is_taken = sqlx::query_scalar!(
            "SELECT pg_try_advisory_lock($1::integer, $2::integer) AS \"is_taken!\"",
            LOCKS,
            kind.lock()
        )
        .fetch_one(&mut connection)
        .await?;
        if is_taken {
            return Ok(Some(Self(connection)));
        }
        connection.close().await;
        Ok(None)
    }

    /// Begins an attempt at the oldest unfinished operation of the kind whose time has come. An
    /// operation that waits to be retried does not hold up the others. It does not wait to be
    /// cancelled, and never for longer than [`MAX_RETRY_PAUSE`]: a time further ahead comes from a
    /// clock that was set back since.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn next(&mut self, kind: Kind) -> sqlx::Result<Option<Operation>> {
        let id = sqlx::query_scalar!(
            "UPDATE event_store.operations
             SET state = 'running', attempts = attempts + 1, heartbeat_at = clock_timestamp(),
                 started_at = COALESCE(started_at, clock_timestamp())
             WHERE finished_at IS NULL AND id = (SELECT id FROM event_store.operations
                 WHERE kind = $1 AND finished_at IS NULL
                   AND (cancel_wanted OR retry_at IS NULL OR NOT retry_at BETWEEN clock_timestamp()
                        AND clock_timestamp() + make_interval(secs => $2::float8))
                 ORDER BY id LIMIT 1)
             RETURNING id",
            kind.as_str(),
            MAX_RETRY_PAUSE.as_secs_f64()
        )
        .fetch_optional(&mut self.0)
        .await?;
        match id {
            Some(id) => find(&mut self.0, id).await,
            None => Ok(None),
        }
    }

    /// Marks that the effect begins, unless the operation is to be cancelled. Returns whether it
    /// may begin.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn commit_to(&mut self, id: Uuid, work: &str) -> sqlx::Result<bool> {
        let noted = sqlx::query!(
            "UPDATE event_store.operations
             SET irrevocable = true, work = $2, heartbeat_at = clock_timestamp()
             WHERE id = $1 AND finished_at IS NULL AND NOT cancel_wanted",
            id,
            work
        )
        .execute(&mut self.0)
        .await?;
        Ok(noted.rows_affected() == 1)
    }

    /// Records why an attempt failed. The operation is retried after a pause, which doubles with
    /// each attempt up to [`MAX_RETRY_PAUSE`].
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn retry_later(&mut self, id: Uuid, error: &str) -> sqlx::Result<()> {
        sqlx::query!(
            "UPDATE event_store.operations
             SET error = $2, heartbeat_at = clock_timestamp(), retry_at = clock_timestamp()
                 + make_interval(secs => least(power(2, least(attempts, 16)), $3::float8))
             WHERE id = $1 AND finished_at IS NULL",
            id,
            error,
            MAX_RETRY_PAUSE.as_secs_f64()
        )
        .execute(&mut self.0)
        .await
        .map(drop)
    }

    /// Records the end of an operation: `succeeded`, `failed` or `cancelled`.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn finish(
        &mut self,
        id: Uuid,
        state: &str,
        (result, error): (Option<Value>, Option<String>),
    ) -> sqlx::Result<()> {
        sqlx::query!(
            "UPDATE event_store.operations
             SET state = $2, result = $3, error = $4, work = NULL, finished_at = clock_timestamp()
             WHERE id = $1 AND finished_at IS NULL",
            id,
            state,
            result,
            error
        )
        .execute(&mut self.0)
        .await
        .map(drop)
    }

    /// Begins the epoch of an operation and records its end, in one transaction. `None` if none
    /// began: the operation has ended, is to be cancelled, replaces another epoch than the current
    /// one, or is older than ten minutes. The record then says which.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn begin_epoch(&mut self, id: Uuid) -> sqlx::Result<Option<Epoch>> {
        let epoch = sqlx::query_scalar!("SELECT event_store.begin_epoch_by_operation($1)", id)
            .fetch_one(&mut self.0)
            .await?;
        Ok(epoch.map(Epoch))
    }
}
