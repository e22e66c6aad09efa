//! How far each projection is.
//!
//! It asks the databases, not the process, so it also answers while the projector hangs or is away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventStore, Filter, Position, StoreError};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::pause::Pause;
use crate::runner::lease::LEASE;

/// How long the log may take to answer; then it counts as away, so that it cannot hide how the
/// projections are.
pub const STORE_LIMIT: Duration = Duration::from_secs(3);

/// The log's head and every live generation's partitions.
#[derive(Debug, Serialize)]
pub struct Status {
    /// When this was so.
    pub at: DateTime<Utc>,
    /// The newest known position of the log.
    pub head: i64,
    /// Whether the log itself said so; otherwise the projector when it last looked, and lags are
    /// lower bounds.
    pub head_is_current: bool,
    /// One entry a partition.
    pub projections: Vec<PartitionStatus>,
}

/// How far one partition is.
#[derive(Debug, Serialize)]
pub struct PartitionStatus {
    /// Which projection.
    pub projection: String,
    /// Which generation of it; the live one.
    pub generation: i32,
    /// Which partition of that.
    pub partition: i32,
    /// How many partitions that has.
    pub partitions: i32,
    /// What folds it.
    pub fold_version: i32,
    /// `live`, `polling`, `catching_up`, `starting`, `stopped`, `paused`, or `not_running` when no
    /// process has it.
    pub mode: String,
    /// Why it is stopped.
    pub stopped_by: Option<String>,
    /// Who paused the projection, why and since when.
    pub paused: Option<Pause>,
    /// The epoch: the history that the log is in.
    pub epoch: Option<Uuid>,
    /// The last event that took effect.
    pub position: i64,
    /// The event's id.
    pub event_id: Option<Uuid>,
    /// Events of the log that have yet to take effect.
    pub lag_events: i64,
    /// Age of the oldest of them; `None` when the log cannot be asked.
    pub lag_seconds: Option<f64>,
    /// Events that do not count in some row yet, once for each row.
    pub parked: i64,
    /// When the checkpoint was last written.
    pub updated_at: DateTime<Utc>,
    /// How long ago its owner last said that it lives, which it does every few seconds; `None` when
    /// nobody has it.
    pub heartbeat_seconds: Option<f64>,
}

impl Status {
    /// Reads the checkpoints, and the log where it answers. A log that does not is not an error:
    /// the last known head stands in.
    ///
    /// # Errors
    /// The read model's database failed.
    pub async fn read(
        connection: impl PgExecutor<'_>,
        store: Option<&dyn EventStore>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Self> {
        let rows = sqlx::query_file!("src/ops/status.sql", LEASE.as_secs_f64())
            .fetch_all(connection)
            .await?;
        let known = rows.iter().map(|row| row.head.max(row.position)).max().unwrap_or(0);
        let answered = match store {
            Some(store) => {
                tokio::time::timeout(STORE_LIMIT, store.head()).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        let head = answered.map_or(known, |head| head.mark.position.0);
        let mut projections = Vec::with_capacity(rows.len());
        for row in rows {
            let paused = row.paused_by.zip(row.pause_reason).zip(row.paused_since);
            let paused = paused.map(|((paused_by, reason), since)| Pause {
                projection: row.projection.clone(),
                paused_by,
                reason,
                since,
            });
            let lag_events = (head - row.position).max(0);
            let lag_seconds = match store.filter(|_| answered.is_some()) {
                Some(store) => {
                    let age = age_of_next(store, row.position, lag_events, now);
                    tokio::time::timeout(STORE_LIMIT, age).await.ok().and_then(Result::ok)
                }
                None => None,
            };
            projections.push(PartitionStatus {
                mode: match (row.running || row.stopped_by.is_some(), &paused) {
                    (true, _) => row.mode,
                    (false, Some(_)) => "paused".to_owned(),
                    (false, None) => "not_running".to_owned(),
                },
                paused,
                projection: row.projection,
                generation: row.generation,
                partition: row.partition,
                partitions: row.partitions,
                fold_version: row.fold_version,
                stopped_by: row.stopped_by,
                epoch: row.epoch,
                position: row.position,
                event_id: row.event_id,
                lag_events,
                lag_seconds,
                parked: row.parked,
                updated_at: row.updated_at,
                heartbeat_seconds: row.heartbeat_seconds,
            });
        }
        Ok(Self { at: now, head, head_is_current: answered.is_some(), projections })
    }
}

async fn age_of_next(
    store: &dyn EventStore,
    position: i64,
    lag: i64,
    now: DateTime<Utc>,
) -> Result<f64, StoreError> {
    if lag == 0 {
        return Ok(0.0);
    }
    let next = store.read(&Filter::All, Position(position), 1).await?;
    let age = next.first().map_or(0, |event| (now - event.recorded_at).num_milliseconds().max(0));
    Ok(Duration::from_millis(age.unsigned_abs()).as_secs_f64())
}
