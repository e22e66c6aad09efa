//! Verifies a projection: replays the log and compares it with the live rows, chunk by chunk.
//!
//! The log is folded into temporary tables, which no other connection sees and which end with the
//! connection. Each chunk of live rows is copied in its own snapshot. The fold then advances to
//! that snapshot's position before the comparison. Live projection is not blocked.

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
use crate::replay::compare::{Chunk, Comparison, Differences, past_table};
use crate::replay::{ReplayError, Source};
use crate::runner::parked;
use restraint::Restraint;

pub mod background;
pub(crate) mod restraint;

/// 2^32, which stands for all keys.
const ALL_KEYS: f64 = 4_294_967_296.0;

/// Removes constraints between rows from the temporary tables. The live table lacks the changes
/// that such constraints refused, and marks their rows stale. Which of two rows is refused depends
/// on their order in time, which a fold in memory does not know.
const COMPARE_NO_ROWS: &str = "DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
                 WHERE connamespace = pg_my_temp_schema() AND contype IN ('u', 'x')
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.conname); END \
    LOOP;
END $$";

/// The part of a projection to verify, and the options.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The share of the keys to check, chosen by a hash: more than 0, at most 1. `None` checks all.
    pub sample: Option<f64>,
    /// The seed of the sample. The same seed chooses the same keys.
    pub seed: String,
    /// The memory limit for folded rows, in bytes. The rest goes to temporary tables.
    pub memory: usize,
    /// Whether to show personal values in rows that differ.
    pub reveal: bool,
}

/// Why a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A partition of the live generation does not reach the position of the others.
    #[error(
        "partition {1} of {0} is behind position {2}, which another partition has reached, and \
            makes no progress: not compared"
    )]
    PartitionBehind(&'static str, i32, Position),
    /// The verification panicked.
    #[error("the verification panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// The result of a verification.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The name of the projection.
    pub projection: String,
    /// The number of the live generation.
    pub generation: i32,
    /// The fold version of the generation.
    pub fold_version: i32,
    /// The share of the keys that was checked; `None` for all.
    pub sample: Option<f64>,
    /// The position of the live rows when the last chunk was compared.
    pub position: i64,
    /// The differences.
    pub differences: Differences,
}

/// The keys chosen by a share and a seed.
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
/// [`VerifyError`]. Differing rows are not an error; they are in the result.
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

/// A verification's scope and options.
pub(crate) struct Verifying<'a> {
    pub(crate) only: Only,
    pub(crate) bytes: usize,
    pub(crate) reveal: bool,
    pub(crate) progress: &'a dyn Progress,
    /// Limits its speed in favour of live projection.
    pub(crate) restraint: Restraint,
}

impl Verifying<'_> {
    /// Verifies the live generation. Returns its number, the differences, and its position at the
    /// end.
    ///
    /// The connection cannot be used otherwise afterwards, because temporary tables hide the real
    /// ones.
    pub(crate) async fn run(
        &self,
        source: &Arc<Source>,
        connection: &mut Connection,
    ) -> Result<(i32, Differences, Position), VerifyError> {
        let projection = source.projection().as_ref();
        let begin = async |raw: &mut PgConnection| {
            let live = generation::known(raw, projection).await?;
            let start = generation::mark(raw, projection.name(), live.generation).await?;
            // The replay must refuse and skip the same events as the live projection.
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
        let mut rows = projection.rows(self.only.clone(), self.bytes);
        rows.keep_history();
        let mut fold = Fold {
            source,
            rows,
            parking,
            at: Position::START,
            progress: self.progress,
            restraint: self.restraint.clone(),
        };
        fold.go_on(connection, start.position).await?;
        let mut differences = Differences::default();
        let mut tables = vec![projection.name().to_owned()];
        tables.extend(projection.has_history().then(|| past_table(projection)));
        let compared = |table: String| {
            let (other, only, reveal) = (format!("pg_temp.{table}"), &self.only, self.reveal);
            Comparison { projection, live: &live, table, other, only, reveal }
        };
        let comparisons: Vec<Comparison<'_>> = tables.into_iter().map(compared).collect();
        for partition in comparisons[0].partitions(connection).await? {
            // All of a partition before the next one, which may be further already.
            for comparison in &comparisons {
                fold.compare(connection, comparison, partition, &mut differences).await?;
            }
        }
        fold.progress.ends();
        Ok((live.generation, differences, fold.at))
    }
}

/// The replay of the log into the temporary tables.
struct Fold<'a> {
    source: &'a Arc<Source>,
    rows: Box<dyn AnyRows>,
    parking: Parking,
    at: Position,
    progress: &'a dyn Progress,
    restraint: Restraint,
}

impl Fold<'_> {
    /// As in a rebuild: at most as many positions at a time as rows fit into memory.
    fn ranges(&self) -> (i64, usize) {
        let (range, ahead) = self.restraint.ranges();
        (range.min(i64::try_from(self.rows.capacity()).unwrap_or(i64::MAX)).max(1), ahead)
    }

    /// Compares the live rows of a partition in a table with the replayed ones. The fold moves on
    /// with them.
    async fn compare(
        &mut self,
        connection: &mut Connection,
        comparison: &Comparison<'_>,
        partition: i32,
        differences: &mut Differences,
    ) -> Result<(), VerifyError> {
        let name = comparison.projection.name();
        let mut chunk = None;
        while chunk.as_ref().is_none_or(|chunk: &Chunk| !chunk.is_last()) {
            // With several partitions, one may be behind another and is waited for. A single
            // partition that is behind was, for example, recreated under its number.
            let is_split = comparison.live.partitions > 1;
            let least = if is_split { self.at } else { Position::START };
            let next = comparison.take(connection, (partition, least), chunk.as_ref()).await?;
            let next = next.ok_or(VerifyError::PartitionBehind(name, partition, least))?;
            if next.mark.position < self.at {
                return Err(ReplayError::OtherHistory(next.mark.position).into());
            }
            self.go_on(connection, next.mark.position).await?;
            comparison.compare(connection, &next, differences).await?;
            if next.is_last() {
                self.source.prove(next.mark).await?;
            }
            chunk = Some(next);
        }
        Ok(())
    }

    /// Replays the log up to this position.
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
                // Rows turned out to be larger or smaller than expected.
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
