//! Makes the next generation of a projection next to the live one, compares the two, and lets it
//! take its place.
//!
//! A rebuild goes through these phases, each of which is noted in `read_model.rebuilds` and gone on
//! with after a kill:
//! - *loading*: the log is folded in memory and loaded by COPY, without keys and indexes; these are
//!   made at the end;
//! - *catching up* with what was appended meanwhile, and comparing with the live rows at the same
//!   positions;
//! - *compared*: it may take the live one's place, in one short transaction, and never shows an
//!   earlier position;
//! - *switched*. The old generation goes on being projected until it is dropped.
//!
//! Live projecting goes on all the while.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, Position};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Operations, Progress, Silent, Work, switch};
use crate::generation::{self, Generation};
use crate::projection::{AnyProjection, Only};
use crate::replay::compare::{Chunk, Comparison, Differences};
use crate::replay::pace::Pace;
use crate::replay::{RANGE, ReplayError, Source};
use crate::runner::chain;
use begin::{How, Phase, Unfinished};
use builder::Builder;

mod begin;
pub(crate) mod builder;
mod error;
mod estimate;
mod keeper;
#[cfg(test)]
mod tests;

pub use begin::pause;
pub(crate) use begin::{Begun, begun_by, pause_of};
pub use error::RebuildError;
pub use estimate::{Estimate, estimate};

/// How long the generation may be in the hands of a process that is perhaps gone.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a projection is rebuilt.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of a person")]
pub struct Request {
    /// Go on with a rebuild that was paused, killed, or not to switch.
    pub resume: bool,
    /// Into how many partitions the keys are split; `None`: as before.
    pub partitions: Option<i32>,
    /// The most events a second; `None`: as fast as it goes.
    pub throttle: Option<NonZeroU32>,
    /// Whether it takes the live generation's place.
    pub switch: bool,
    /// Whether it is compared with the live generation.
    pub compare: bool,
    /// Whether it takes the live one's place even though rows of the same fold version differ.
    pub despite_differences: bool,
    /// For how long to try the switch while queries hold the tables.
    pub patience: Duration,
    /// How much memory the folded rows may take, in bytes.
    pub memory: usize,
    /// Whether personal values are shown in the rows that differ.
    pub reveal: bool,
    /// The recorded operation that works on it; `None`: a command line.
    pub operation: Option<Uuid>,
}

/// What became of a rebuild.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The generation that was built.
    pub generation: i32,
    /// What the comparison found; `None`: there was none.
    pub compared: Option<Compared>,
    /// How it ended.
    pub end: End,
}

/// What the comparison with the live generation found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The live generation of this number was made from another history of the log.
    OtherHistory(i32),
    /// Another fold made the live generation of this number, and no program is left that brings it
    /// to where it can be compared: why not.
    OtherFold(i32, String),
    /// The rows were compared.
    Rows {
        /// The number of the live generation.
        live: i32,
        /// What differs.
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
    /// Queries see the new generation. The one they saw before, if any, goes on as a standby.
    Switched(Option<i32>),
    /// It is built, and was not to take the live one's place.
    Built,
    /// Rows of the same fold version differ: the live generation stays.
    Differs,
    /// Somebody wanted it to pause, at this position: what was done is kept.
    Paused(Position),
}

/// Rebuilds a projection.
///
/// # Errors
/// [`RebuildError`]. What was committed stays, and `resume` goes on with it.
pub async fn rebuild(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Rebuilt, RebuildError> {
    let source = operations.source(projection);
    let Request { resume, partitions, operation, .. } = *request;
    let how = How { resume, partitions, operation };
    let unfinished = begin::begin(operations, projection.as_ref(), how).await?;
    let generation = unfinished.generation;
    let pace = Pace::new(request.throttle);
    let taken = take(operations, &source, generation, request.memory, pace).await?;
    let Some(builder) = taken else {
        if unfinished.phase == Phase::Compared && request.switch {
            // The running projectors keep it up to date since it was compared.
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

/// Takes a generation; one whose owner was just killed is free in a moment.
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

    /// Comes so near to the head that the rest is a moment's work.
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
            Err(behind @ RebuildError::LiveBehind { .. }) if by_another_fold => {
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

/// Compares the live generation with the one that is built. `None`: the live one is of another
/// history.
async fn compare(
    builder: &mut Builder,
    live: &Generation,
    reveal: bool,
) -> Result<Option<Differences>, RebuildError> {
    let (projection, other) = (Arc::clone(builder.projection()), builder.table().await?);
    let source = Arc::clone(builder.source());
    let comparison =
        Comparison { projection: projection.as_ref(), live, other, only: &Only::All, reveal };
    // Before it is waited for: the projector leaves one of another history where it is.
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

/// The smallest position of a generation's partitions.
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
