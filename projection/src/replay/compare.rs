//! Compares two tables of one projection in chunks of keys: missing, extra and different rows.

use std::time::Duration;

use event_store::{EventRef, Position};
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Connection as _, PgConnection, PgExecutor};
use tokio::time::Instant;

use crate::generation::Generation;
use crate::pause;
use crate::projection::{AnyProjection, Only};

/// The number of live rows copied in one snapshot.
const CHUNK_ROWS: i32 = 5_000;
/// How long to wait for a live partition that is behind the fold.
const COMPARE_WAIT: Duration = Duration::from_mins(1);
/// How often to check its position meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The maximum number of differing rows to show.
const MAX_SAMPLES: usize = 20;
/// The share that includes every key.
const EVERY_KEY: i64 = 1 << 32;
/// The replacement for a hidden personal value.
const HIDDEN: &str = "(personal)";

/// A comparison of a generation's live rows with a replayed table.
pub(crate) struct Comparison<'a> {
    pub(crate) projection: &'a dyn AnyProjection,
    /// The live generation, which keeps moving.
    pub(crate) live: &'a Generation,
    /// The name of the table in the generation's schema: the main one, or that of the past.
    pub(crate) table: String,
    /// The qualified name of the other table.
    pub(crate) other: String,
    pub(crate) only: &'a Only,
    /// Whether samples show personal values.
    pub(crate) reveal: bool,
}

/// A chunk of a partition's live rows, copied in one snapshot.
pub(crate) struct Chunk {
    /// The partition's checkpoint in the snapshot.
    pub(crate) mark: EventRef,
    partition: i32,
    rows: i64,
    /// The keys of rows that lack parked events.
    stale: Vec<String>,
    after: Option<Vec<String>>,
    last: Option<Vec<String>>,
}

/// The differences between two tables.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Differences {
    /// The number of live rows compared.
    pub rows: i64,
    /// The number of past rows compared, of a projection with a history.
    #[serde(default)]
    pub past_rows: i64,
    /// The number of rows that are only in the replayed table.
    pub missing: i64,
    /// The number of rows that are only in the live table.
    pub extra: i64,
    /// The number of rows that are in both and differ.
    pub different: i64,
    /// The number of rows that differ for a known reason: they have parked events.
    pub stale: i64,
    /// Some of the differing rows.
    pub samples: Vec<DifferingRow>,
}

/// A row that differs between the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DifferingRow {
    /// `missing`, `extra` or `different`.
    pub kind: String,
    /// The table with past rows, if it is such a row. Its key ends with the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The key of the row.
    pub key: String,
    /// The live row. If the row is in both tables, only the differing columns.
    pub live: Option<Map<String, Value>>,
    /// The replayed row, with the same columns.
    pub folded: Option<Map<String, Value>>,
}

impl Differences {
    /// The number of differing rows.
    pub const fn count(&self) -> i64 {
        self.missing + self.extra + self.different
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.stale > 0 {
            writeln!(
                f,
                "{} rows are stale because they have parked events: see `projector parked list`",
                self.stale
            )?;
        }
        let Self { rows, past_rows, missing, extra, different, .. } = self;
        write!(f, "{rows} rows")?;
        if *past_rows > 0 {
            write!(f, " and {past_rows} past rows")?;
        }
        if self.count() == 0 {
            return writeln!(f, " compared, no difference");
        }
        writeln!(f, " compared: {missing} missing, {extra} extra, {different} different")?;
        for row in &self.samples {
            let table = row.table.as_ref().map(|table| format!("{table} ")).unwrap_or_default();
            writeln!(f, "  {} {table}{}", row.kind, row.key)?;
            for (name, columns) in [("live", &row.live), ("folded", &row.folded)] {
                if let Some(columns) = columns {
                    writeln!(f, "    {name:<7}{}", Value::Object(columns.clone()))?;
                }
            }
        }
        let shown = i64::try_from(self.samples.len()).unwrap_or(i64::MAX);
        if shown < self.count() {
            writeln!(f, "  … and {} more", self.count() - shown)
        } else {
            Ok(())
        }
    }
}

impl Chunk {
    /// Whether this is the last chunk.
    pub(crate) const fn is_last(&self) -> bool {
        self.last.is_none()
    }
}

/// The table with the past of a projection's rows.
pub(crate) fn past_table(projection: &dyn AnyProjection) -> String {
    format!("{}_history", projection.name())
}

impl Comparison<'_> {
    /// Whether past rows are compared.
    fn is_past(&self) -> bool {
        self.table != self.projection.name()
    }

    fn sample(&self) -> (&str, i64) {
        if let Only::Sample { seed, below } = self.only { (seed, *below) } else { ("", EVERY_KEY) }
    }

    /// The live generation's partitions, the one furthest behind first, because the fold only moves
    /// forward.
    pub(crate) async fn partitions(&self, connection: &mut Connection) -> sqlx::Result<Vec<i32>> {
        sqlx::query_scalar!(
            "SELECT partition FROM read_model.checkpoints WHERE projection = $1 AND generation = \
                $2 ORDER BY position, partition",
            self.projection.name(),
            self.live.generation
        )
        .fetch_all(connection)
        .await
    }

    /// Copies the next live rows of a partition, once it has reached `least`, with its checkpoint.
    /// `None` if it did not get there in time, or does not move because it is paused.
    pub(crate) async fn take(
        &self,
        connection: &mut Connection,
        (partition, least): (i32, Position),
        before: Option<&Chunk>,
    ) -> sqlx::Result<Option<Chunk>> {
        let deadline = Instant::now() + COMPARE_WAIT;
        while self.mark(&mut *connection, partition).await?.position < least {
            let name = self.projection.name();
            if Instant::now() > deadline || pause::is_paused(&mut *connection, name).await? {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let after = before.and_then(|chunk| chunk.last.clone());
        Ok(Some(
            connection
                .run(async |raw: &mut PgConnection| self.copy(raw, partition, after).await)
                .await?,
        ))
    }

    /// Copies a partition's next live rows.
    async fn copy(
        &self,
        connection: &mut PgConnection,
        partition: i32,
        after: Option<Vec<String>>,
    ) -> sqlx::Result<Chunk> {
        let (seed, below) = self.sample();
        let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let mark = self.mark(&mut *snapshot, partition).await?;
        let taken = sqlx::query!(
            r#"SELECT taken AS "taken!", last
               FROM read_model.take_chunk((read_model.generation_schema($1, $2) || '.' ||
               $9)::regclass, $3, $4, $5, $6, $7, $8,
                                          (read_model.generation_schema($1, $2) || '.' ||
               $1)::regclass)"#,
            self.projection.name(),
            self.live.generation,
            after.as_deref(),
            CHUNK_ROWS,
            seed,
            below,
            partition,
            self.live.partitions,
            self.table
        )
        .fetch_one(&mut *snapshot)
        .await?;
        let stale = sqlx::query_scalar!(
            "SELECT key FROM read_model.stale WHERE projection = $1 AND generation = $2",
            self.projection.name(),
            self.live.generation
        )
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        Ok(Chunk { mark, partition, rows: taken.taken, stale, after, last: taken.last })
    }

    /// The checkpoint of a partition.
    async fn mark(
        &self,
        connection: impl PgExecutor<'_>,
        partition: i32,
    ) -> sqlx::Result<EventRef> {
        let at = sqlx::query!(
            "SELECT position, event_id FROM read_model.checkpoints WHERE projection = $1 AND \
                generation = $2 AND partition = $3",
            self.projection.name(),
            self.live.generation,
            partition
        )
        .fetch_one(connection)
        .await?;
        Ok(EventRef { position: Position(at.position), event_id: at.event_id })
    }

    /// Compares the latest chunk with the other table, which must be at the chunk's position.
    pub(crate) async fn compare(
        &self,
        connection: &mut Connection,
        chunk: &Chunk,
        differences: &mut Differences,
    ) -> sqlx::Result<()> {
        let (seed, below) = self.sample();
        let room = MAX_SAMPLES.saturating_sub(differences.samples.len());
        let found = sqlx::query!(
            r#"SELECT missing AS "missing!", extra AS "extra!", different AS "different!", stale AS
                "stale!",
                      sampled AS "sampled!: sqlx::types::Json<Vec<DifferingRow>>"
               FROM read_model.compare_chunk((read_model.generation_schema($1, $2) || '.' ||
               $12)::regclass, $3::text::regclass,
                                             $4, $5, $6, $7, $8, $9, $10, $11,
                                             (read_model.generation_schema($1, $2) || '.' ||
               $1)::regclass)"#,
            self.projection.name(),
            self.live.generation,
            self.other,
            chunk.after.as_deref(),
            chunk.last.as_deref(),
            seed,
            below,
            chunk.partition,
            self.live.partitions,
            i32::try_from(room).unwrap_or(i32::MAX),
            &chunk.stale,
            self.table
        )
        .fetch_one(connection)
        .await?;
        if self.is_past() {
            differences.past_rows += chunk.rows;
        } else {
            differences.rows += chunk.rows;
        }
        differences.missing += found.missing;
        differences.extra += found.extra;
        differences.different += found.different;
        differences.stale += found.stale;
        differences.samples.extend(found.sampled.0.into_iter().map(|row| self.shown(row)));
        Ok(())
    }

    /// Reduces a differing row to the columns that differ, and hides personal values unless
    /// requested.
    fn shown(&self, mut row: DifferingRow) -> DifferingRow {
        row.table = self.is_past().then(|| self.table.clone());
        if let (Some(live), Some(folded)) = (&mut row.live, &mut row.folded) {
            let same: Vec<String> = live
                .iter()
                .filter(|(name, value)| folded.get(*name) == Some(*value))
                .map(|(n, _)| n.clone())
                .collect();
            for name in same {
                live.remove(&name);
                folded.remove(&name);
            }
        }
        if !self.reveal {
            for columns in [&mut row.live, &mut row.folded].into_iter().flatten() {
                hide_personal(self.projection, columns);
            }
        }
        row
    }
}

/// Hides the personal values of a row.
pub(crate) fn hide_personal(projection: &dyn AnyProjection, columns: &mut Map<String, Value>) {
    for name in projection.personal() {
        if let Some(value) = columns.get_mut(*name).filter(|value| !value.is_null()) {
            *value = HIDDEN.into();
        }
    }
}
