//! The parked events of a partition that this process owns. They are written in the transaction of
//! the rows, and retried between batches.
//!
//! Only the owner changes them, in transactions that are fenced by its term. So the owner's copy in
//! memory is correct for as long as it can commit. People add skips and retry requests under the
//! checkpoint's lock.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use event_store::{Position, RecordedEvent};
use postgres_kit::Connection;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::PartitionKey;
use crate::projection::parking::{Aside, Skips};
use crate::projection::{MAX_PARKED, Parking, partition_of};

mod again;
mod reread;

pub(crate) use again::{AgainError, try_key};
pub(crate) use reread::Reread;

/// The first pause before a parked event is retried. It doubles up to [`RETRY_MOST`], with jitter.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MOST: Duration = Duration::from_mins(10);

/// The owner's copy of its parked set.
#[derive(Debug, Default)]
pub(crate) struct ParkedSet {
    held: HashSet<String>,
    skips: Skips,
    /// The number of partitions that it covers.
    partitions: usize,
    /// The number of parked (event, key) pairs.
    pub(crate) pairs: usize,
    look_at: Option<Instant>,
}

impl ParkedSet {
    /// Loads the parked set of these partitions of the generation.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        of: &PartitionKey,
        partitions: &[i32],
    ) -> sqlx::Result<Self> {
        let (name, generation) = (of.projection.name(), of.generation);
        let rows = sqlx::query!(
            r#"SELECT key, count(*) AS "pairs!" FROM read_model.parked
               WHERE projection = $1 AND generation = $2 AND partition = ANY($3) GROUP BY key"#,
            name,
            generation,
            partitions
        )
        .fetch_all(&mut *connection)
        .await?;
        let pairs = rows.iter().map(|row| usize::try_from(row.pairs).unwrap_or(0)).sum();
        let held = rows.into_iter().map(|row| row.key).collect();
        Ok(Self {
            held,
            skips: skips(connection, name).await?,
            partitions: partitions.len(),
            pairs,
            look_at: None,
        })
    }

    /// The parking for the next batch.
    pub(crate) fn parking(&self) -> Parking {
        Parking::new(self.held.clone(), Arc::clone(&self.skips), self.pairs)
            .of_partitions(self.partitions)
    }

    /// Adds pairs that were parked.
    pub(crate) fn add(&mut self, found: &[Aside]) {
        self.pairs += found.len();
        self.held.extend(found.iter().map(|aside| aside.key.clone()));
    }

    fn is_due(&self) -> bool {
        !self.held.is_empty() && self.look_at.is_none_or(|at| at <= Instant::now())
    }
}

/// The keys of a partition that have parked events.
pub(crate) async fn keys(
    connection: &mut Connection,
    of: &PartitionKey,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT DISTINCT key FROM read_model.parked WHERE projection = $1 AND generation = $2 AND \
            partition = $3",
        of.projection.name(),
        of.generation,
        of.partition
    )
    .fetch_all(connection)
    .await
}

/// The (event, key) pairs that people decided to skip in this projection.
pub(crate) async fn skips(connection: &mut PgConnection, projection: &str) -> sqlx::Result<Skips> {
    let rows = sqlx::query!(
        "SELECT position, key FROM read_model.skips WHERE projection = $1",
        projection
    )
    .fetch_all(connection)
    .await?;
    Ok(Arc::new(rows.into_iter().map(|row| (Position(row.position), row.key)).collect()))
}

/// Whether no more events can be parked, and nobody has requested a retry.
pub(crate) async fn is_full(
    connection: &mut PgConnection,
    partition: &PartitionKey,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM read_model.parked WHERE projection = $1 AND generation = $2
            AND partition = $3) >= $5
               AND NOT EXISTS (SELECT FROM read_model.retry_requests
                               WHERE projection = $1 AND generation = $2 AND
                               read_model.partition_of(key, $4) = $3) AS "full!""#,
        partition.projection.name(),
        partition.generation,
        partition.partition,
        partition.of,
        i64::try_from(MAX_PARKED).unwrap_or(i64::MAX)
    )
    .fetch_one(connection)
    .await
}

/// Parks the pairs that were set aside, and marks their rows as stale. Call it in the transaction
/// of the rows. `events` contains the events of the pairs.
pub(crate) async fn record(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    found: &[Aside],
    events: &[RecordedEvent],
) -> sqlx::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let (name, generation) = (partition.projection.name(), partition.generation);
    let of = |position: Position| events.iter().find(|event| event.position == position);
    let named: Vec<_> =
        found.iter().filter_map(|aside| Some((aside, of(aside.position)?))).collect();
    let keys: Vec<String> = named.iter().map(|(aside, _)| aside.key.clone()).collect();
    let positions: Vec<i64> = named.iter().map(|(aside, _)| aside.position.0).collect();
    sqlx::query!(
        "INSERT INTO read_model.parked (projection, generation, partition, key, position, \
            event_id, event_type, cause, retry_at)
         SELECT $1, $2, p.partition, p.key, p.position, p.event_id, p.event_type, p.cause,
                clock_timestamp() + make_interval(secs => p.retry_in)
         FROM unnest($3::integer[], $4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], \
         $9::float8[])
             AS p (partition, key, position, event_id, event_type, cause, retry_in)",
        name,
        generation,
        &keys.iter().map(|key| partition_of(key, partition.of)).collect::<Vec<_>>(),
        &keys,
        &positions,
        &named.iter().map(|(_, event)| event.id).collect::<Vec<_>>(),
        &named.iter().map(|(_, event)| event.event_type.to_string()).collect::<Vec<_>>(),
        &named.iter().map(|(aside, _)| aside.cause.clone()).collect::<Vec<_>>()
            as &[Option<String>],
        &named
            .iter()
            .map(|(aside, _)| aside.cause.as_ref().map(|_| retry_in(0)))
            .collect::<Vec<_>>() as &[Option<f64>],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, since)
         SELECT $1, $2, s.key, $3, bool_or(s.absent), min(s.position)
         FROM unnest($4::text[], $5::bigint[], $6::boolean[]) AS s (key, position, absent) GROUP \
         BY s.key
         ON CONFLICT (projection, generation, key) DO NOTHING",
        name,
        generation,
        partition.projection.commutes(),
        &keys,
        &positions,
        &named.iter().map(|(aside, _)| aside.absent).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    for (aside, event) in named.iter().filter(|(aside, _)| aside.cause.is_some()) {
        tracing::error!(
            projection = name,
            position = aside.position.0,
            event_type = %event.event_type,
            key = aside.key,
            cause = aside.cause,
            "an event was parked: its row is stale until the event is folded or skipped"
        );
    }
    Ok(())
}

/// The pause before the next retry of an event after `tries` retries, in seconds.
fn retry_in(tries: i32) -> f64 {
    let doublings = u32::try_from(tries).unwrap_or(0).min(16);
    RETRY_FIRST
        .saturating_mul(1 << doublings)
        .min(RETRY_MOST)
        .mul_f64(rand::random_range(0.5..1.0))
        .as_secs_f64()
}
