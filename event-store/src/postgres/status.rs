//! How the log stands, for people and programs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::error::read_error;
use crate::error::StoreError;
use crate::event::{Epoch, Position};

/// How the log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// The current history.
    pub epoch: Epoch,
    /// How many histories there were, this one included.
    pub epochs: i64,
    /// The last position.
    pub position: Position,
    /// The id of the event there.
    pub event_id: Option<Uuid>,
    /// When it was appended.
    pub recorded_at: Option<DateTime<Utc>>,
    /// Up to where the log is digested.
    pub digested_to: Position,
    /// How many unique values are held.
    pub reservations: i64,
    /// How many idempotency keys are kept, as Postgres last estimated it.
    pub keys_about: i64,
    /// The size of events and tags with their indexes.
    pub bytes: i64,
    /// How many appends wait for the lock on the log at this moment.
    pub waiting_appends: i64,
}

impl LogStatus {
    /// Asks for it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever
    /// else it said.
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
