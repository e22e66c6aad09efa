//! The epochs of a log: which there were, and beginning another one.
//!
//! A new epoch is a person's decision. A process that finds that commits were lost refuses every
//! call, and its error names the command that goes on: `event-store epoch begin`. Once somebody
//! has run it, or the right server is back, the process goes on without a restart. The command API
//! first applies every erasure to the new history.
//!
//! A command API that was started only after the loss cannot remember the head that was lost. It
//! is held to the head that the command APIs write down next to the subject keys every second
//! (`SubjectKeyStore::known_head`).
//!
//! Epoch ids are UUIDv7, and each is later than the epochs that it follows. A query whose token
//! names an epoch that its projections have not reached yet waits for it; a token of an epoch that
//! is over is refused.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::error::read_error;
use crate::error::StoreError;
use crate::event::{Epoch, Position};

/// One history of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EpochRecord {
    /// The epoch: the history that the log is in.
    pub epoch: Epoch,
    /// The last position that it shares with the epoch before.
    pub began_after: Position,
    /// Why it began.
    pub reason: String,
    /// Epochs of other copies of the log in whose place it goes on.
    pub abandoned: Vec<Epoch>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// The epochs of a log in the order in which they began; the last one is the current one.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever else it
/// said.
pub async fn epochs(executor: impl PgExecutor<'_>) -> Result<Vec<EpochRecord>, StoreError> {
    let rows = sqlx::query_file!("sql/epochs.sql").fetch_all(executor).await.map_err(read_error)?;
    let records = rows.into_iter().map(|row| EpochRecord {
        epoch: Epoch(row.epoch),
        began_after: Position(row.began_after),
        reason: row.reason,
        abandoned: row.abandoned.into_iter().map(Epoch).collect(),
        created_at: row.created_at,
    });
    Ok(records.collect())
}

/// Begins a new epoch after the log's head, as the owner of its database: a copy was restored, or a
/// standby promoted with commits missing, and it is to go on as it is. Processes that know an epoch
/// of this log, or one of `abandoned`, follow by themselves.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever else it
/// said, a lack of rights included.
pub async fn begin_epoch(
    executor: impl PgExecutor<'_>,
    reason: &str,
    abandoned: &[Epoch],
) -> Result<Epoch, StoreError> {
    let abandoned: Vec<_> = abandoned.iter().map(|epoch| epoch.0).collect();
    let row =
        sqlx::query_file!("sql/begin_epoch.sql", reason, &abandoned).fetch_one(executor).await;
    Ok(Epoch(row.map_err(read_error)?.epoch))
}
