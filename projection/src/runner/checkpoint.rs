//! A partition's checkpoint: its position, its history, and the fence that lets only the newest
//! owner move it.
//!
//! A checkpoint moves only from the position and the term that its owner knows, in the transaction
//! of the rows. So a process that was paused, and wakes up after another one took over, changes
//! nothing. A lease alone could not promise that: the lease decides who works, and the fence
//! decides whose work counts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{Epoch, EventRef, Position};
use sqlx::PgConnection;
use uuid::Uuid;

use super::PartitionKey;
use crate::projection::column;

/// The checkpoint of a partition, as its owner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The epoch of the log; `None` before the first event.
    pub(crate) epoch: Option<Epoch>,
    /// The last event that took effect.
    pub(crate) mark: EventRef,
    /// The owner's term.
    pub(crate) term: i64,
}

/// The columns of the checkpoint that only inform people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The mode in which events arrive, such as `live`.
    pub(crate) mode: &'static str,
    /// The newest known position of the log.
    pub(crate) head: Position,
}

/// Reads the epoch and the event of a partition's checkpoint, no matter which process owns it.
/// Returns `None` if there is no such partition.
pub(crate) async fn look(
    connection: &mut PgConnection,
    partition: &PartitionKey,
) -> sqlx::Result<Option<(Option<Epoch>, EventRef)>> {
    let row = sqlx::query!(
        "SELECT epoch, position, event_id FROM read_model.checkpoints WHERE projection = $1 AND \
            generation = $2 AND partition = $3",
        partition.projection.name(),
        partition.generation,
        partition.partition
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        (
            row.epoch.map(Epoch),
            EventRef { position: Position(row.position), event_id: row.event_id },
        )
    }))
}

/// Puts the new owner's term on the checkpoint. From then on, no earlier owner can move it. Returns
/// `None` if a later owner was first.
pub(crate) async fn take(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    term: i64,
) -> sqlx::Result<Option<Checkpoint>> {
    let row = sqlx::query!(
        "UPDATE read_model.checkpoints SET term = $4, stopped_by = NULL, mode = 'starting', \
            updated_at = clock_timestamp()
         WHERE projection = $1 AND generation = $2 AND partition = $3 AND term < $4
         RETURNING epoch, position, event_id",
        partition.projection.name(),
        partition.generation,
        partition.partition,
        term
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Checkpoint {
        epoch: row.epoch.map(Epoch),
        mark: EventRef { position: Position(row.position), event_id: row.event_id },
        term,
    }))
}

/// The events over which a checkpoint moves: their number by kind, and the time of the last one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    /// Events that the projection handles.
    pub(crate) handled: usize,
    /// Events that are irrelevant to the partition.
    pub(crate) ignored: usize,
    /// When the last event was recorded, if that is known.
    pub(crate) recorded_at: Option<DateTime<Utc>>,
}

/// Moves the checkpoint, and sets the generation's schema until the end of the transaction. Returns
/// `false` if this owner was replaced, or is not at the position that it knows. Then nothing was
/// changed.
///
/// Only the commit of a `durable` move waits for the disk, which includes all earlier commits. A
/// crash of the server can undo other moves, rows and checkpoint together, of at most the last
/// three times its `wal_writer_delay`. The owner then loses its connection, acquires the partition
/// again, finds the earlier checkpoint, and folds the same events into the same rows. Waiting for
/// every commit made the time from a command to its row 1.4 times as long. A batch with an erasure
/// is durable, so that no blanked value comes back.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    from: &Checkpoint,
    (epoch, mark): (Epoch, EventRef),
    (seen, passed): (Seen, Passed),
    durable: bool,
) -> sqlx::Result<bool> {
    let moved = sqlx::query_scalar!(
        "UPDATE read_model.checkpoints
         SET position = $7, event_id = $8, epoch = $9, mode = $10, head = $11, updated_at = \
         clock_timestamp(),
             handled = handled + $12, ignored = ignored + $13,
             complete_until = GREATEST(complete_until, $15)
         WHERE projection = $1 AND generation = $2 AND partition = $3 AND position = $4 AND term \
         = $5 AND epoch IS NOT DISTINCT FROM $6
         RETURNING set_config('search_path', quote_ident(read_model.generation_schema(projection, \
         generation)), true)
                   || set_config('synchronous_commit', CASE WHEN $14 THEN \
                   current_setting('synchronous_commit') ELSE 'off' END, true)",
        partition.projection.name(),
        partition.generation,
        partition.partition,
        from.mark.position.0,
        from.term,
        from.epoch.map(|epoch| epoch.0) as Option<Uuid>,
        mark.position.0,
        mark.event_id as Option<Uuid>,
        epoch.0,
        seen.mode,
        seen.head.0,
        i64::try_from(passed.handled).unwrap_or(i64::MAX),
        i64::try_from(passed.ignored).unwrap_or(i64::MAX),
        durable,
        passed.recorded_at,
    )
    .fetch_optional(connection)
    .await?;
    Ok(moved.is_some())
}

/// Moves the checkpoints of several partitions over irrelevant events, like [`advance`], but in one
/// statement, without the generations' schemas, and never durably. Returns the partitions that were
/// moved as (projection, generation, partition).
pub(crate) async fn pass(
    connection: &mut PgConnection,
    partitions: &[(Arc<PartitionKey>, Checkpoint, usize)],
    (epoch, mark, recorded_at): (Epoch, EventRef, DateTime<Utc>),
    seen: Seen,
) -> sqlx::Result<Vec<(String, i32, i32)>> {
    let moved = sqlx::query!(
        "UPDATE read_model.checkpoints AS c
         SET position = $1, event_id = $2, epoch = $3, mode = $4, head = $5, updated_at = \
         clock_timestamp(),
             ignored = c.ignored + p.events, complete_until = GREATEST(c.complete_until, $13)
         FROM unnest($6::text[], $7::integer[], $8::integer[], $9::bigint[], $10::bigint[], \
         $11::uuid[], $12::bigint[])
              AS p (projection, generation, partition, position, term, epoch, events)
         WHERE c.projection = p.projection AND c.generation = p.generation AND c.partition = \
         p.partition
           AND c.position = p.position AND c.term = p.term AND c.epoch IS NOT DISTINCT FROM p.epoch
         RETURNING c.projection, c.generation, c.partition, set_config('synchronous_commit', \
         'off', true) AS durability",
        mark.position.0,
        mark.event_id as Option<Uuid>,
        epoch.0,
        seen.mode,
        seen.head.0,
        &column(partitions, |(partition, ..)| partition.projection.name().to_owned()),
        &column(partitions, |(partition, ..)| partition.generation),
        &column(partitions, |(partition, ..)| partition.partition),
        &column(partitions, |(_, from, _)| from.mark.position.0),
        &column(partitions, |(_, from, _)| from.term),
        &column(partitions, |(_, from, _)| from.epoch.map(|epoch| epoch.0)) as &[Option<Uuid>],
        &column(partitions, |(.., events)| i64::try_from(*events).unwrap_or(i64::MAX)),
        recorded_at,
    )
    .fetch_all(connection)
    .await?;
    Ok(moved.into_iter().map(|row| (row.projection, row.generation, row.partition)).collect())
}

/// Records that the log had no event after the positions of these partitions so long ago. A
/// partition that has moved, or that another owner has, stays as it is.
pub(crate) async fn confirm(
    connection: &mut PgConnection,
    partitions: &[(Arc<PartitionKey>, Checkpoint)],
    ago: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.checkpoints AS c
         SET complete_until = GREATEST(c.complete_until, clock_timestamp() - make_interval(secs \
         => $1))
         FROM unnest($2::text[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[])
              AS p (projection, generation, partition, position, term)
         WHERE c.projection = p.projection AND c.generation = p.generation AND c.partition = \
         p.partition AND c.position = p.position AND c.term = p.term
         RETURNING set_config('synchronous_commit', 'off', true) AS durability",
        ago.as_secs_f64(),
        &column(partitions, |(partition, _)| partition.projection.name().to_owned()),
        &column(partitions, |(partition, _)| partition.generation),
        &column(partitions, |(partition, _)| partition.partition),
        &column(partitions, |(_, at)| at.mark.position.0),
        &column(partitions, |(_, at)| at.term),
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Locks the checkpoint, and sets the generation's schema until the end of the transaction. Returns
/// `false` if this owner was replaced.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    at: &Checkpoint,
) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        "SELECT set_config('search_path', quote_ident(read_model.generation_schema(projection, \
            generation)), true)
         FROM (SELECT projection, generation FROM read_model.checkpoints
               WHERE projection = $1 AND generation = $2 AND partition = $3 AND term = $4 FOR \
               UPDATE) AS held",
        partition.projection.name(),
        partition.generation,
        partition.partition,
        at.term,
    )
    .fetch_optional(connection)
    .await?;
    Ok(held.is_some())
}

/// Moves the checkpoint into the epoch in which the log continues, at the same position. Returns
/// `false` if this owner was replaced.
pub(crate) async fn follow(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    at: &Checkpoint,
    epoch: Epoch,
) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "UPDATE read_model.checkpoints SET epoch = $6, updated_at = clock_timestamp()
         WHERE projection = $1 AND generation = $2 AND partition = $3 AND position = $4 AND term \
         = $5",
        partition.projection.name(),
        partition.generation,
        partition.partition,
        at.mark.position.0,
        at.term,
        epoch.0
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Records the mode, or the reason to stop, at the same position. Returns `false` if this owner was
/// replaced.
pub(crate) async fn note(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    term: i64,
    seen: Seen,
    stopped_by: Option<&str>,
) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        "UPDATE read_model.checkpoints
         SET mode = $5, head = GREATEST(head, $6), stopped_by = $7, updated_at = clock_timestamp()
         WHERE projection = $1 AND generation = $2 AND partition = $3 AND term = $4",
        partition.projection.name(),
        partition.generation,
        partition.partition,
        term,
        seen.mode,
        seen.head.0,
        stopped_by
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}
