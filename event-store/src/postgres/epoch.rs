//! The epochs of a log, and the start of a new one.
//!
//! A person decides to begin a new epoch. A process that finds that commits were lost refuses every
//! call, and its error names the command to run: `event-store epoch begin`. Once somebody has run
//! it, or the right server is back, the process resumes without a restart. The command API first
//! applies every erasure to the new history.
//!
//! A command API that starts only after the loss does not know the lost head. It uses the head that
//! the command APIs record next to the subject keys every second (`SubjectKeyStore::known_head`).
//!
//! Epoch ids are UUIDv7, and each is later than the epochs that it follows. If a query's token
//! names an epoch that its projections have not reached yet, the query waits for it. A token of a
//! past epoch is refused.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::error::read_error;
use crate::error::StoreError;
use crate::event::{Epoch, Position};

/// The record of one epoch of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EpochRecord {
    /// The id of the epoch.
    pub epoch: Epoch,
    /// The last position that it shares with the previous epoch.
    pub began_after: Position,
    /// The reason for its start, for people.
    pub reason: String,
    /// The epochs of other copies of the log that this one replaces.
    pub abandoned: Vec<Epoch>,
    /// The time when the epoch was created.
    pub created_at: DateTime<Utc>,
}

/// Returns the epochs of a log in order of their start. The last one is current.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres cannot be reached, [`StoreError::Database`] for any
/// other error.
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

/// Begins a new epoch after the log's head. It needs the rights of the database's owner.
///
/// Use it when a copy was restored, or a standby was promoted with commits missing, and this log is
/// to continue as it is. Processes that know an epoch of this log, or one of `abandoned`, follow by
/// themselves.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres cannot be reached, [`StoreError::Database`] for any
/// other error, including missing rights.
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
