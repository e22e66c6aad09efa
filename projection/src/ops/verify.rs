//! Replays the log and compares with the live rows, at the same position, chunk by chunk.
//!
//! The log is folded into temporary tables, which nobody else sees and which end with the
//! connection. Each chunk of live rows is copied in a snapshot of its own; the fold then goes on to
//! that snapshot's position. Live projecting is not held up.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::Position;
use futures::StreamExt as _;
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{Operations, Progress, Work};
use crate::generation::{self, SchemaError};
use crate::projection::{AnyProjection, AnyRows, Only, Parking, WriteError};
use crate::replay::compare::{Chunk, Comparison, Differences};
use crate::replay::{ReplayError, Source};
use crate::runner::parked;
use restraint::Restraint;

pub mod background;
pub(crate) mod restraint;

/// 2^32: the share of all keys.
const ALL_KEYS: f64 = 4_294_967_296.0;

/// Takes the constraints off the temporary tables that compare rows with each other: what they
/// refuse the live table lacks, and knows that it does. Which of two rows that is depends on when
/// each came, which a fold in memory does not tell.
const COMPARE_NO_ROWS: &str = "DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
                 WHERE connamespace = pg_my_temp_schema() AND contype IN ('u', 'x')
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.conname); END \
    LOOP;
END $$";

/// What is verified of a projection, and how.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The share of the keys that is looked at, chosen by a hash: more than 0, at most 1; `None`:
    /// all of them.
    pub sample: Option<f64>,
    /// Chooses which keys are in the sample; the same seed chooses the same keys.
    pub seed: String,
    /// How much memory the folded rows may take, in bytes; what is more goes to temporary tables.
    pub memory: usize,
    /// Whether personal values are shown in the rows that differ.
    pub reveal: bool,
}

/// Why a verification could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The read model failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A partition of the live generation does not come to where the others stand.
    #[error(
        "partition {1} of {0} stands behind position {2}, where another partition stands, and \
            does not move: not compared"
    )]
    PartitionBehind(&'static str, i32, Position),
    /// The verification panicked.
    #[error("the verification panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// What a verification found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    /// Which projection.
    pub projection: String,
    /// Which generation of it; the live one.
    pub generation: i32,
    /// What folds it.
    pub fold_version: i32,
    /// The share of the keys that was looked at; `None` for all.
    pub sample: Option<f64>,
    /// Where the live rows stood when the last chunk was compared.
    pub position: i64,
    /// What was found.
    pub differences: Differences,
}

/// The keys that a share and a seed choose.
pub(crate) fn sample(share: Option<f64>, seed: &str) -> Only {
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 2^32")]
    share.map_or(Only::All, |share| Only::Sample {
        seed: seed.to_owned(),
        below: (share * ALL_KEYS).ceil() as i64,
    })
}

/// Verifies the live generation of a projection.
///
/// # Errors
/// [`VerifyError`]. Rows that differ are not an error, but what it returns.
pub async fn verify(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Verification, VerifyError> {
    let source = operations.source(projection);
    let mut connection = operations.connect().await?;
    let only = sample(scope.sample, &scope.seed);
    let (bytes, restraint) = (scope.memory, Restraint::none());
    let verifying = Verifying { only, bytes, reveal: scope.reveal, progress, restraint };
    let (generation, differences, position) = verifying.run(&source, &mut connection).await?;
    Ok(Verification {
        projection: projection.name().to_owned(),
        generation,
        fold_version: projection.fold_version(),
        sample: scope.sample,
        position: position.0,
        differences,
    })
}

/// What is verified, and how.
pub(crate) struct Verifying<'a> {
    pub(crate) only: Only,
    pub(crate) bytes: usize,
    pub(crate) reveal: bool,
    pub(crate) progress: &'a dyn Progress,
    /// What it leaves to others.
    pub(crate) restraint: Restraint,
}

impl Verifying<'_> {
    /// Verifies the live generation. Returns its number, what differs, and where it stood at the
    /// end.
    ///
    /// The connection is of no other use afterwards: the tables that it holds hide the real ones.
    pub(crate) async fn run(
        &self,
        source: &Arc<Source>,
        connection: &mut Connection,
    ) -> Result<(i32, Differences, Position), VerifyError> {
        let projection = source.projection().as_ref();
        let begin = async |raw: &mut PgConnection| {
            let live = generation::known(raw, projection).await?;
            let start = generation::mark(raw, projection.name(), live.generation).await?;
            // What the live rows lack is refused here too, and what was skipped is skipped.
            Ok::<_, SchemaError>((live, start, parked::skips(raw, projection.name()).await?))
        };
        let (live, start, skips) = connection.run(begin).await?;
        source.prove(start).await?;
        sqlx::raw_sql("SET search_path = pg_temp").execute(&mut *connection).await?;
        sqlx::raw_sql(projection.tables()).execute(&mut *connection).await?;
        sqlx::raw_sql(COMPARE_NO_ROWS).execute(&mut *connection).await?;
        self.progress.begins(Work::Replaying, Position::START, start.position);
        let partitions = usize::try_from(live.partitions).unwrap_or(1);
        let parking = Parking::new(HashSet::new(), skips, 0).of_partitions(partitions).careful();
        let rows = projection.rows(self.only.clone(), self.bytes);
        let mut fold = Fold {
            source,
            rows,
            parking,
            at: Position::START,
            progress: self.progress,
            restraint: self.restraint.clone(),
        };
        fold.go_on(connection, start.position).await?;
        let other = format!("pg_temp.{}", projection.name());
        let comparison =
            Comparison { projection, live: &live, other, only: &self.only, reveal: self.reveal };
        let mut differences = Differences::default();
        for partition in comparison.partitions(connection).await? {
            let mut chunk = None;
            while chunk.as_ref().is_none_or(|chunk: &Chunk| !chunk.is_last()) {
                // A partition of several may stand behind another, and is waited for. One alone
                // that is back was made anew under its number, say.
                let least = if live.partitions > 1 { fold.at } else { Position::START };
                let next = comparison.take(connection, (partition, least), chunk.as_ref()).await?;
                let next = next.ok_or_else(|| {
                    VerifyError::PartitionBehind(projection.name(), partition, least)
                })?;
                if next.mark.position < fold.at {
                    return Err(ReplayError::OtherHistory(next.mark.position).into());
                }
                fold.go_on(connection, next.mark.position).await?;
                comparison.compare(connection, &next, &mut differences).await?;
                if next.is_last() {
                    source.prove(next.mark).await?;
                }
                chunk = Some(next);
            }
        }
        fold.progress.ends();
        Ok((live.generation, differences, fold.at))
    }
}

/// The log on its way into the temporary tables.
struct Fold<'a> {
    source: &'a Arc<Source>,
    rows: Box<dyn AnyRows>,
    parking: Parking,
    at: Position,
    progress: &'a dyn Progress,
    restraint: Restraint,
}

impl Fold<'_> {
    /// As for a rebuild: no more positions at a time than rows fit into the memory.
    fn ranges(&self) -> (i64, usize) {
        let (range, ahead) = self.restraint.ranges();
        (range.min(i64::try_from(self.rows.capacity()).unwrap_or(i64::MAX)).max(1), ahead)
    }

    /// Brings the tables to this position.
    async fn go_on(
        &mut self,
        connection: &mut Connection,
        to: Position,
    ) -> Result<(), ReplayError> {
        while self.at < to {
            let (range, ahead) = self.ranges();
            let mut pages = self.source.pages(self.at, to, (range, ahead));
            while let Some(page) = pages.next().await {
                let page = page?;
                let (rows, parking) = (&mut self.rows, &mut self.parking);
                let fold = async |raw: &mut PgConnection| {
                    rows.fold(raw, page.prepared, parking).await?;
                    if rows.is_full() {
                        rows.write_possible(raw).await?;
                    }
                    Ok::<_, WriteError>(())
                };
                connection.run(fold).await?;
                let passed = page.to.0 - self.at.0;
                self.at = page.to;
                self.progress.at(self.at, to);
                self.restraint.after(passed, connection, self.source).await?;
                // Rows have turned out to be larger, or smaller.
                let now = self.ranges().0;
                if now < range / 2 || now > range.saturating_mul(2) {
                    break;
                }
            }
        }
        if self.rows.unwritten() > 0 {
            let rows = &mut self.rows;
            connection.run(async |raw: &mut PgConnection| rows.write_possible(raw).await).await?;
        }
        Ok(())
    }
}
