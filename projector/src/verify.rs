//! `projector verify`: folds the log anew and compares with the live rows, at the same position,
//! chunk by chunk.
//!
//! The log is folded into temporary tables, which nobody else sees and which end with the
//! connection. Each chunk of live rows is copied in a snapshot of its own; the fold then goes on to
//! that snapshot's position. Live projecting is not held up.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;

use clap::Args;
use event_store::Position;
use futures::StreamExt as _;
use postgres_kit::Connection;
use serde::Serialize;
use sqlx::PgConnection;

use crate::error::CommandError;
use crate::generation::{self, SchemaError};
use crate::progress::Progress;
use crate::projection::{AnyRows, Only, Parking, WriteError};
use crate::replay::compare::{Chunk, Comparison, Differences};
use crate::replay::{MIB, ROW_MEMORY_MIB, ReplayError, Source};
use crate::runner::parked;
use crate::tool::{ToolArgs, projection};
use restraint::Restraint;

pub(crate) mod background;
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

/// Settings of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// Only a share of the keys, chosen by a hash: `5%` or `0.05`.
    #[arg(long, value_parser = parse_share)]
    pub(crate) sample: Option<f64>,
    /// Chooses which keys are in the sample; the same seed chooses the same keys.
    #[arg(long, default_value = "")]
    pub(crate) seed: String,
    /// How much memory the folded rows may take, in MiB; what is more goes to temporary tables.
    #[arg(long, default_value_t = ROW_MEMORY_MIB)]
    pub(crate) memory: usize,
    /// Print personal values in the rows that differ.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

/// What a verification found.
#[derive(Debug, Serialize)]
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

impl std::fmt::Display for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} g{} at position {}: {}",
            self.projection, self.generation, self.position, self.differences
        )
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share =
        number.parse::<f64>().map(|number| number / of).map_err(|error| error.to_string())?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("a share is more than 0 and at most 100%".to_owned())
    }
}

/// The keys that a share and a seed choose.
pub(crate) fn sample(share: Option<f64>, seed: &str) -> Only {
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 2^32")]
    share.map_or(Only::All, |share| Only::Sample {
        seed: seed.to_owned(),
        below: (share * ALL_KEYS).ceil() as i64,
    })
}

/// Verifies, and prints what it found.
pub(crate) async fn verify(args: VerifyArgs) -> Result<(), CommandError> {
    let projection = projection(&args.projection)?;
    let tool = args.tool.open().await?;
    let source = tool.source(Arc::clone(&projection));
    let mut connection = tool.connect().await?;
    let only = sample(args.sample, &args.seed);
    let (bytes, restraint) = (args.memory.saturating_mul(MIB), Restraint::none());
    let verifying = Verifying { only, bytes, reveal: args.reveal, watched: true, restraint };
    let (generation, differences, position) = verifying.run(&source, &mut connection).await?;
    let found = Verification {
        projection: projection.name().to_owned(),
        generation,
        fold_version: projection.fold_version(),
        sample: args.sample,
        position: position.0,
        differences,
    };
    let text =
        if args.json { serde_json::to_string_pretty(&found)? + "\n" } else { found.to_string() };
    cli_kit::stdout().write_all(text.as_bytes())?;
    if found.differences.count() > 0 { Err(CommandError::Differs(args.projection)) } else { Ok(()) }
}

/// What is verified, and how.
pub(crate) struct Verifying {
    pub(crate) only: Only,
    pub(crate) bytes: usize,
    pub(crate) reveal: bool,
    pub(crate) watched: bool,
    /// What it leaves to others.
    pub(crate) restraint: Restraint,
}

impl Verifying {
    /// Verifies the live generation. Returns its number, what differs, and where it stood at the
    /// end.
    ///
    /// The connection is of no other use afterwards: the tables that it holds hide the real ones.
    pub(crate) async fn run(
        &self,
        source: &Arc<Source>,
        connection: &mut Connection,
    ) -> Result<(i32, Differences, Position), CommandError> {
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
        let progress = if self.watched {
            Progress::new("folding the log anew", 0, start.position.0)
        } else {
            Progress::silent()
        };
        let partitions = usize::try_from(live.partitions).unwrap_or(1);
        let parking = Parking::new(HashSet::new(), skips, 0).of_partitions(partitions).careful();
        let rows = projection.rows(self.only.clone(), self.bytes);
        let mut fold = Fold {
            source,
            rows,
            parking,
            at: Position::START,
            progress,
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
                    CommandError::PartitionBehind(projection.name(), partition, least)
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
        fold.progress.done();
        Ok((live.generation, differences, fold.at))
    }
}

/// The log on its way into the temporary tables.
struct Fold<'a> {
    source: &'a Arc<Source>,
    rows: Box<dyn AnyRows>,
    parking: Parking,
    at: Position,
    progress: Progress,
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
                self.progress.at(self.at.0, to.0);
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
