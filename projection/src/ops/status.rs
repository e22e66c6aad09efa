//! Reports the progress of each projection.
//!
//! It queries the databases and not the process, so it also works while the projector hangs or is
//! away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventStore, Filter, Position, StoreError};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::pause::Pause;
use crate::runner::lease::LEASE;

/// How long the log may take to answer. After that it counts as away, and the projections are still
/// reported.
pub const STORE_LIMIT: Duration = Duration::from_secs(3);

/// The log's head and the partitions of all live generations.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The time of this status.
    pub at: DateTime<Utc>,
    /// The newest known position of the log.
    pub head: i64,
    /// Whether the log itself reported the head. Otherwise it is what the projector saw last, and
    /// lags are lower bounds.
    pub head_is_current: bool,
    /// One entry per partition.
    pub projections: Vec<PartitionStatus>,
}

/// The progress of one partition.
#[derive(Debug, Serialize)]
pub struct PartitionStatus {
    /// The name of the projection.
    pub projection: String,
    /// The number of the live generation.
    pub generation: i32,
    /// The number of the partition.
    pub partition: i32,
    /// The generation's number of partitions.
    pub partitions: i32,
    /// The fold version of the generation.
    pub fold_version: i32,
    /// `live`, `polling`, `catching_up`, `starting`, `stopped`, `paused`, or `not_running` if no
    /// process holds it.
    pub mode: String,
    /// Why it is stopped, if it is.
    pub stopped_by: Option<String>,
    /// Who paused the projection, why and since when.
    pub paused: Option<Pause>,
    /// The epoch, which identifies a history of the log.
    pub epoch: Option<Uuid>,
    /// The position of the last event that was applied, ignored, parked or skipped.
    pub position: i64,
    /// The id of that event.
    pub event_id: Option<Uuid>,
    /// The number of events in the log after `position`.
    pub lag_events: i64,
    /// The age in seconds of the oldest of them; `None` if the log does not answer.
    pub lag_seconds: Option<f64>,
    /// The number of parked events, counted once per row.
    pub parked: i64,
    /// The time at which the checkpoint was last written.
    pub updated_at: DateTime<Utc>,
    /// The seconds since its owner's last heartbeat, sent every few seconds; `None` if no process
    /// holds it.
    pub heartbeat_seconds: Option<f64>,
}

impl Status {
    /// Reads the checkpoints, and the log if it answers. If it does not, the last known head is
    /// used.
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
