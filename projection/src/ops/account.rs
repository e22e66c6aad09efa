//! Where every event up to a checkpoint went.
//!
//! Each event was applied, ignored, parked or skipped. The sum must be the checkpoint's position,
//! so an event that vanished would show.

use serde::Serialize;
use sqlx::PgExecutor;

/// Where the events up to a partition's checkpoint went. Each is in exactly one of the counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Which projection.
    pub projection: String,
    /// Which generation of it.
    pub generation: i32,
    /// Which partition of that.
    pub partition: i32,
    /// How many partitions that has.
    pub partitions: i32,
    /// How many events there are: positions have no gap.
    pub position: i64,
    /// Count in every row that they touch.
    pub applied: i64,
    /// Are none of the projection's types, or that of its other partitions.
    pub ignored: i64,
    /// Wait for some row to take them.
    pub parked: i64,
    /// Are never to count in some row, as somebody decided.
    pub skipped: i64,
    /// Whether the counts add up to the position.
    pub adds_up: bool,
}

impl Account {
    /// Reads the accounts in one snapshot.
    ///
    /// # Errors
    /// As Postgres says.
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
