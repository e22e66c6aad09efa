//! Rebuilds a projection: builds the next generation next to the live one, compares the two, and
//! switches.
//!
//! A rebuild goes through these phases. Each is recorded in `read_model.rebuilds`, so a killed
//! rebuild can resume:
//! - *loading*: the log is folded in memory and loaded by COPY, without keys and indexes, which are
//!   created at the end;
//! - *catching up* with events appended meanwhile, and comparing with the live rows at the same
//!   positions;
//! - *compared*: it may replace the live generation, in one short transaction, and never shows an
//!   earlier position;
//! - *switched*: the old generation is still projected until it is dropped.
//!
//! Live projection continues throughout.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, Position};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Operations, Progress, Silent, Work, switch};
use crate::chain;
use crate::generation::{self, Generation};
use crate::pause;
use crate::projection::{AnyProjection, Only};
use crate::replay::compare::{Chunk, Comparison, Differences};
use crate::replay::pace::Pace;
use crate::replay::{RANGE, ReplayError, Source};
use begin::{How, Phase, Unfinished};
use builder::Builder;

mod begin;
pub(crate) mod builder;
mod error;
mod estimate;
mod keeper;
pub(crate) mod paused;
#[cfg(test)]
mod tests;

pub use begin::pause;
pub(crate) use begin::{Begun, begun_by, pause_of};
pub use error::RebuildError;
pub use estimate::{Estimate, estimate};

/// How long to wait for a generation whose owner may be gone.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// How often to check during that wait.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The options of a rebuild.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of a person")]
pub struct Request {
    /// Resume a rebuild that was paused, killed, or built without switching.
    pub resume: bool,
    /// The number of partitions; by default as before.
    pub partitions: Option<i32>,
    /// The maximum number of events per second; unlimited by default.
    pub throttle: Option<NonZeroU32>,
    /// Whether to switch queries to the new generation.
    pub switch: bool,
    /// Whether to compare it with the live generation.
    pub compare: bool,
    /// Whether to switch even if rows of the same fold version differ.
    pub despite_differences: bool,
    /// How long to retry the switch while queries hold the tables.
    pub patience: Duration,
    /// The memory limit for folded rows, in bytes.
    pub memory: usize,
    /// Whether to show personal values in rows that differ.
    pub reveal: bool,
    /// The recorded operation that runs it; `None` for a command line.
    pub operation: Option<Uuid>,
}

/// The result of a rebuild.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The number of the built generation.
    pub generation: i32,
    /// The result of the comparison; `None` if there was none.
    pub compared: Option<Compared>,
    /// How the rebuild ended.
    pub end: End,
}

/// The result of the comparison with the live generation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The live generation with this number was made from another history of the log.
    OtherHistory(i32),
    /// Another fold made the live generation with this number, and no running program brings it to
    /// a comparable position. The text says why.
    OtherFold(i32, String),
    /// The rows were compared.
    Rows {
        /// The number of the live generation.
        live: i32,
        /// The differences.
        differences: Differences,
        /// Whether another fold or other tables made the live rows, so that differences are
        /// expected.
        by_another_fold: bool,
    },
}

impl Compared {
    /// Whether rows differ that should not.
    fn is_wrong(&self) -> bool {
        matches!(self, Self::Rows { differences, by_another_fold: false, .. }
            if differences.count() > 0)
    }
}

/// How a rebuild ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Queries see the new generation. The previous one, if any, continues as a standby.
    Switched(Option<i32>),
    /// The generation is built; a switch was not requested.
    Built,
    /// Rows of the same fold version differ, so the live generation stays.
    Differs,
    /// The rebuild was paused at this position. Its work is kept.
    Paused(Position),
}

/// Rebuilds a projection.
///
/// # Errors
/// [`RebuildError`]. Committed work stays, and `resume` continues it.
pub async fn rebuild(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Rebuilt, RebuildError> {
    let source = operations.source(projection);
    let Request { resume, partitions, operation, .. } = *request;
    let how = How { resume, partitions, operation };
    paused::refuse(operations, projection, (request.compare, resume)).await?;
    let unfinished = begin::begin(operations, projection.as_ref(), how).await?;
    let generation = unfinished.generation;
    let pace = Pace::new(request.throttle);
    let taken = take(operations, &source, generation, request.memory, pace).await?;
    let Some(builder) = taken else {
        if unfinished.phase == Phase::Compared && request.switch {
            // The running projectors keep it up to date since the comparison.
            let old =
                switch::switch(operations, &source, generation, request.patience, None).await?;
            return Ok(Rebuilt { generation, compared: None, end: End::Switched(old) });
        }
        return Err(RebuildError::Busy(projection.name().to_owned(), generation));
    };
    let mut rebuild = Rebuild { request, operations, progress, builder, compared: None };
    let ended = match rebuild.go_on(unfinished).await {
        Err(RebuildError::Paused(at)) => Ok(End::Paused(at)),
        ended => ended,
    };
    if !matches!(ended, Err(RebuildError::TakenOver)) {
        rebuild.builder.give_up().await?;
    }
    Ok(Rebuilt { generation, compared: rebuild.compared, end: ended? })
}

/// Takes a generation. Waits briefly, in case its owner was just killed.
async fn take(
    operations: &Operations,
    source: &Arc<Source>,
    generation: i32,
    bytes: usize,
    pace: Pace,
) -> Result<Option<Builder>, RebuildError> {
    let deadline = Instant::now() + TAKE_WAIT;
    loop {
        let taken = Builder::take(operations, source, generation, bytes, pace).await?;
        if taken.is_some() || Instant::now() > deadline {
            return Ok(taken);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Rebuild<'a> {
    request: &'a Request,
    operations: &'a Operations,
    progress: &'a dyn Progress,
    builder: Builder,
    compared: Option<Compared>,
}

impl Rebuild<'_> {
    async fn go_on(&mut self, unfinished: Unfinished) -> Result<End, RebuildError> {
        let (generation, name) = (unfinished.generation, self.builder.projection().name());
        if unfinished.phase == Phase::Loading {
            self.load(name).await?;
            self.builder.pause_if_wanted()?;
        }
        self.catch_up().await?;
        self.builder.pause_if_wanted()?;
        if unfinished.phase < Phase::Compared {
            if self.request.compare {
                self.compared = self.compare().await?;
            }
            if self.compared.as_ref().is_some_and(Compared::is_wrong)
                && !self.request.despite_differences
            {
                return Ok(End::Differs);
            }
            let connection = &mut self.builder.connection;
            begin::reached(connection, name, generation, Phase::Compared).await?;
            self.builder.pause_if_wanted()?;
        }
        if !self.request.switch {
            begin::make_ready(&mut self.builder.connection, name, generation).await?;
            return Ok(End::Built);
        }
        let (source, patience) = (Arc::clone(self.builder.source()), self.request.patience);
        let mover = Some(&mut self.builder);
        let old = switch::switch(self.operations, &source, generation, patience, mover).await?;
        Ok(End::Switched(old))
    }

    async fn load(&mut self, name: &'static str) -> Result<(), RebuildError> {
        let head = self.builder.look_at_head().await?;
        self.progress.begins(Work::Rebuilding(name), self.builder.at(), head);
        self.builder.go_on(head, self.progress).await?;
        self.progress.ends();
        self.progress.begins(Work::Indexing, Position::START, Position::START);
        self.builder.finish_tables().await?;
        self.progress.ends();
        Ok(())
    }

    /// Catches up so far that little work is left.
    async fn catch_up(&mut self) -> Result<(), RebuildError> {
        loop {
            let head = self.builder.look_at_head().await?;
            let behind = head.0 - self.builder.at().0;
            self.builder.go_on(head, &Silent).await?;
            if behind <= RANGE {
                return self.builder.retry_parked().await;
            }
        }
    }

    /// Compares with the live generation, if there is one.
    async fn compare(&mut self) -> Result<Option<Compared>, RebuildError> {
        let projection = Arc::clone(self.builder.projection());
        let name = projection.name();
        let live = async |raw: &mut PgConnection| generation::live(raw, name).await;
        let Some(live) = self.builder.connection.run(live).await? else { return Ok(None) };
        let by_another_fold = !live.is_made_by(projection.as_ref());
        let differences = match compare(&mut self.builder, &live, self.request.reveal).await {
            Err(behind @ (RebuildError::LiveBehind { .. } | RebuildError::ProjectionPaused(_)))
                if by_another_fold =>
            {
                return Ok(Some(Compared::OtherFold(live.generation, chain(&behind))));
            }
            compared => compared?,
        };
        let live = live.generation;
        Ok(Some(differences.map_or(Compared::OtherHistory(live), |differences| Compared::Rows {
            live,
            differences,
            by_another_fold,
        })))
    }
}

/// Compares the live generation with the new one. `None` if the live one has another history.
async fn compare(
    builder: &mut Builder,
    live: &Generation,
    reveal: bool,
) -> Result<Option<Differences>, RebuildError> {
    let (projection, other) = (Arc::clone(builder.projection()), builder.table().await?);
    let source = Arc::clone(builder.source());
    let (table, only) = (projection.name().to_owned(), &Only::All);
    let comparison =
        Comparison { projection: projection.as_ref(), live, table, other, only, reveal };
    // Checked before any wait, because the projector leaves a generation of another history alone.
    let (name, number) = (projection.name(), live.generation);
    let at = builder
        .connection
        .run(async |raw: &mut PgConnection| generation::mark(raw, name, number).await)
        .await?;
    if !is_of_this_log(&source, at).await? {
        return Ok(None);
    }
    let mut differences = Differences::default();
    for partition in comparison.partitions(&mut builder.connection).await? {
        let mut chunk = None;
        while chunk.as_ref().is_none_or(|chunk: &Chunk| !chunk.is_last()) {
            let least = builder.at();
            let Some(next) = comparison
                .take(&mut builder.connection, (partition, least), chunk.as_ref())
                .await?
            else {
                if let Some(pause) = pause::find(&mut builder.connection, name).await? {
                    return Err(RebuildError::ProjectionPaused(Box::new(pause)));
                }
                let (projection, built) = (projection.name().to_owned(), builder.at());
                let live = position(&mut builder.connection, &projection, live.generation).await?;
                return Err(RebuildError::LiveBehind { projection, live, built });
            };
            if !is_of_this_log(&source, next.mark).await? {
                return Ok(None);
            }
            builder.go_on(next.mark.position, &Silent).await?;
            comparison.compare(&mut builder.connection, &next, &mut differences).await?;
            chunk = Some(next);
        }
    }
    Ok(Some(differences))
}

async fn is_of_this_log(source: &Source, mark: EventRef) -> Result<bool, ReplayError> {
    match source.prove(mark).await {
        Err(ReplayError::OtherHistory(_)) => Ok(false),
        proved => proved.map(|()| true),
    }
}

/// The lowest position of a generation's partitions.
pub(super) async fn position(
    connection: impl PgExecutor<'_>,
    projection: &str,
    generation: i32,
) -> sqlx::Result<Position> {
    let position = sqlx::query_scalar!(
        r#"SELECT COALESCE(min(position), 0) AS "position!" FROM read_model.checkpoints WHERE
            projection = $1 AND generation = $2"#,
        projection,
        generation
    )
    .fetch_one(connection)
    .await?;
    Ok(Position(position))
}
