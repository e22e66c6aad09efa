//! Accounts for every event up to a checkpoint.
//!
//! Each event was applied, ignored, parked or skipped. The sum must equal the checkpoint's
//! position, so a lost event would show.

use serde::Serialize;
use sqlx::PgExecutor;

/// The account of the events up to a partition's checkpoint. Each event is in exactly one of the
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The name of the projection.
    pub projection: String,
    /// The number of the generation.
    pub generation: i32,
    /// The number of the partition.
    pub partition: i32,
    /// The generation's number of partitions.
    pub partitions: i32,
    /// The number of events: positions have no gaps.
    pub position: i64,
    /// Events that were applied to every row they touch.
    pub applied: i64,
    /// Events that the projection does not handle, or that belong to its other partitions.
    pub ignored: i64,
    /// Events that at least one row has not applied yet.
    pub parked: i64,
    /// Events that a person decided never to apply to some row.
    pub skipped: i64,
    /// Whether the counts add up to the position.
    pub adds_up: bool,
}

impl Account {
    /// Reads the accounts in one snapshot, of one projection or of all.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn read(
        connection: impl PgExecutor<'_>,
        projection: Option<&str>,
    ) -> sqlx::Result<Vec<Self>> {
        sqlx::query_as!(
            Self,
            r#"SELECT c.projection, c.generation, c.partition, g.partitions, c.position, c.handled
                - w.parked - w.skipped AS "applied!", c.ignored,
                      w.parked AS "parked!", w.skipped AS "skipped!",
                      c.handled + c.ignored = c.position AS "adds_up!"
               FROM read_model.checkpoints AS c
               JOIN read_model.generations AS g USING (projection, generation)
               CROSS JOIN LATERAL (
                   SELECT (SELECT count(DISTINCT p.position) FROM read_model.parked AS p
                           WHERE (p.projection, p.generation, p.partition) = (c.projection,
                           c.generation, c.partition)) AS parked,
                          (SELECT count(DISTINCT s.position) FROM read_model.skips AS s
                           WHERE s.projection = c.projection AND s.position <= c.position
                             AND read_model.partition_of(s.key, g.partitions) = c.partition
                             AND NOT EXISTS (SELECT FROM read_model.parked AS p
                                             WHERE (p.projection, p.generation, p.position) =
                                             (c.projection, c.generation, s.position))
                          ) AS skipped) AS w
               WHERE $1::text IS NULL OR c.projection = $1
               ORDER BY c.projection, c.generation, c.partition"#,
            projection
        )
        .fetch_all(connection)
        .await
    }
}
