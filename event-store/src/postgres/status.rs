//! The status of the log, for people and programs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::error::read_error;
use crate::error::StoreError;
use crate::event::{Epoch, Position};

/// The status of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// The current epoch.
    pub epoch: Epoch,
    /// The number of epochs so far, including the current one.
    pub epochs: i64,
    /// The last position.
    pub position: Position,
    /// The id of the event at the last position.
    pub event_id: Option<Uuid>,
    /// The time when that event was appended.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The last digested position.
    pub digested_to: Position,
    /// The number of unique values that are held.
    pub reservations: i64,
    /// The approximate number of stored idempotency keys, as Postgres last estimated it.
    pub keys_about: i64,
    /// The size of events and tags with their indexes, in bytes.
    pub bytes: i64,
    /// The number of appends that wait for the lock on the log now.
    pub waiting_appends: i64,
}

impl LogStatus {
    /// Reads the status.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres cannot be reached, [`StoreError::Database`] for
    /// any other error.
    pub async fn read(executor: impl PgExecutor<'_>) -> Result<Self, StoreError> {
        let row =
            sqlx::query_file!("sql/status.sql").fetch_one(executor).await.map_err(read_error)?;
        Ok(Self {
            epoch: Epoch(row.epoch),
            epochs: row.epochs,
            position: Position(row.position),
            event_id: row.event_id,
            recorded_at: row.recorded_at,
            digested_to: Position(row.digested_to.unwrap_or(0)),
            reservations: row.reservations,
            keys_about: row.keys_about,
            bytes: row.bytes,
            waiting_appends: row.waiting_appends,
        })
    }
}
