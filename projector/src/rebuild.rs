//! `projector rebuild`: makes the next generation of a projection beside the live one, compares the
//! two, and lets it take its place.
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

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use event_store::{EventRef, Position};
use sqlx::{PgConnection, PgExecutor};
use tokio::time::Instant;

use crate::error::CommandError;
use crate::generation::{self, Generation};
use crate::progress::Progress;
use crate::projection::Only;
use crate::replay::compare::{Chunk, Comparison, Differences};
use crate::replay::pace::Pace;
use crate::replay::{MIB, RANGE, ROW_MEMORY_MIB, ReplayError, Source};
use crate::runner::RunError;
use crate::runner::parked::AgainError;
use crate::tool::{Tool, ToolArgs, projection};
use begin::{Phase, Unfinished};
use builder::Builder;

mod begin;
mod builder;
mod estimate;
mod keeper;
pub mod switch;
#[cfg(test)]
mod tests;

/// How long the generation may be in the hands of a process that is perhaps gone.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Settings of `rebuild`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct RebuildArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// Go on with a rebuild that was paused, killed, or not to switch.
    #[arg(long, conflicts_with = "pause")]
    pub(crate) resume: bool,
    /// Make the running rebuild write what it has, and end.
    #[arg(long)]
    pub(crate) pause: bool,
    /// Into how many partitions its keys are split, by their hash, to be shared among projector
    /// processes; as before, unless said.
    #[arg(long, conflicts_with_all = ["resume", "pause"])]
    pub(crate) partitions: Option<i32>,
    /// Only say what it would take: time and disk, estimated from the first events of the log.
    #[arg(long, conflicts_with_all = ["resume", "pause"])]
    pub(crate) dry_run: bool,
    /// At most so many events a second.
    #[arg(long, value_name = "EVENTS_PER_SECOND")]
    pub(crate) throttle: Option<NonZeroU32>,
    /// Leave the live generation in its place; `--resume` switches later.
    #[arg(long)]
    pub(crate) no_switch: bool,
    /// Do not compare with the live rows.
    #[arg(long)]
    pub(crate) no_compare: bool,
    /// Switch even though rows of the same fold version differ: the live ones are wrong.
    #[arg(long)]
    pub(crate) despite_differences: bool,
    /// For how many seconds to try the switch, while queries hold the tables.
    #[arg(long, default_value_t = switch::PATIENCE_SECONDS)]
    pub(crate) patience: u32,
    /// How much memory the folded rows may take, in MiB.
    #[arg(long, default_value_t = ROW_MEMORY_MIB)]
    pub(crate) memory: usize,
    /// Print personal values in the rows that differ.
    #[arg(long)]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

impl RebuildArgs {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.into())
    }
}

/// Why a generation was not rebuilt or switched to.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log could not be folded.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The read model failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// Somebody wanted it to pause: what was done is kept.
    #[error("paused at position {0}")]
    Paused(Position),
    /// Another process holds the generation now.
    #[error("another process has taken the rebuild over")]
    TakenOver,
    /// Another process builds or projects the generation.
    #[error("generation {1} of {0} is in the hands of another process")]
    Busy(String, i32),
    /// There is one already.
    #[error(
        "a rebuild of {0} into generation {1} is not finished: `projector rebuild {0} --resume` \
            goes on with it, `projector drop {0} {1}` gives it up"
    )]
    Unfinished(String, i32),
    /// There is none.
    #[error("no rebuild of {0} is unfinished")]
    NothingUnfinished(String),
    /// It was begun by a program with another fold version or other tables.
    #[error("{0}; `projector drop` gives the rebuild up")]
    NotOurs(String),
    /// The live generation does not move, so that the two cannot be compared at one position.
    #[error(
        "the live generation of {projection} stands at {live}, behind {built}, and does not move: \
            not compared; `--no-compare` goes on without"
    )]
    LiveBehind {
        /// Which projection.
        projection: String,
        /// Where it stands.
        live: Position,
        /// Where the new one stands.
        built: Position,
    },
    /// The generation to switch to would show an earlier position.
    #[error(
        "generation {generation} of {projection} stands at {at}, behind {shown}, which queries \
            have seen, and does not catch up{why}"
    )]
    WouldGoBack {
        /// Which projection.
        projection: String,
        /// Which generation.
        generation: i32,
        /// Where it stands.
        at: Position,
        /// What queries have seen.
        shown: Position,
        /// Why, where that is known.
        why: String,
    },
    /// Queries or the projector held the tables all the time.
    #[error(
        "the tables of {0} could not be had for the switch: queries hold them too long; try again"
    )]
    NoMoment(String),
    /// No generation was live before.
    #[error("{0} has no earlier generation to switch back to")]
    NothingToSwitchBackTo(String),
    /// The generation cannot be dropped, and why.
    #[error("generation {1} of {0} is not dropped: {2}")]
    NotDropped(String, i32, &'static str),
}

impl From<AgainError> for RebuildError {
    fn from(error: AgainError) -> Self {
        match error {
            AgainError::Lost => Self::TakenOver,
            AgainError::Run(RunError::Database(error)) => Self::Database(error),
            AgainError::Run(RunError::Store(error)) => Self::Replay(error.into()),
            AgainError::Run(RunError::Keys(error)) => Self::Replay(error.into()),
        }
    }
}

/// Rebuilds, or says what it would take.
pub(crate) async fn rebuild(args: RebuildArgs) -> Result<(), CommandError> {
    let projection = projection(&args.projection)?;
    if args.pause {
        return begin::pause(&args).await;
    }
    let tool = args.tool.open().await?;
    let source = tool.source(Arc::clone(&projection));
    if args.dry_run {
        let estimate = estimate::estimate(&tool, &source).await?;
        return Ok(write!(cli_kit::stdout(), "{estimate}")?);
    }
    let unfinished =
        begin::begin(&tool, projection.as_ref(), (args.resume, args.partitions)).await?;
    let (generation, pace) = (unfinished.generation, Pace::new(args.throttle));
    let bytes = args.memory.saturating_mul(MIB);
    let Some(builder) = take(&tool, &source, generation, bytes, pace).await? else {
        if unfinished.phase == Phase::Compared && !args.no_switch {
            // The running projectors keep it up to date since it was compared.
            return announce(
                switch::switch(&tool, &source, generation, args.patience(), None).await?,
                &args.projection,
                generation,
            );
        }
        return Err(RebuildError::Busy(args.projection, generation).into());
    };
    let mut rebuild = Rebuild { args: &args, tool: &tool, builder };
    let built = rebuild.go_on(unfinished).await;
    if !matches!(built, Err(CommandError::Rebuild(RebuildError::TakenOver))) {
        rebuild.builder.give_up().await?;
    }
    match built {
        Err(CommandError::Rebuild(RebuildError::Paused(at))) => {
            writeln!(
                cli_kit::stdout(),
                "paused at position {at}; `projector rebuild {} --resume` goes on",
                args.projection
            )?;
            Ok(())
        }
        other => other,
    }
}

/// Takes a generation; one whose owner was just killed is free in a moment.
async fn take(
    tool: &Tool,
    source: &Arc<Source>,
    generation: i32,
    bytes: usize,
    pace: Pace,
) -> Result<Option<Builder>, RebuildError> {
    let deadline = Instant::now() + TAKE_WAIT;
    loop {
        let taken = Builder::take(tool, source, generation, bytes, pace).await?;
        if taken.is_some() || Instant::now() > deadline {
            return Ok(taken);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Says what the switch did.
pub(crate) fn announce(
    old: Option<i32>,
    projection: &str,
    generation: i32,
) -> Result<(), CommandError> {
    let mut out = cli_kit::stdout();
    writeln!(out, "queries see generation {generation} of {projection} now")?;
    if let Some(old) = old {
        writeln!(
            out,
            "generation {old} goes on as a standby: `projector switch-back {projection}` shows it \
                again, `projector drop {projection} {old}` removes it"
        )?;
    }
    Ok(())
}

struct Rebuild<'a> {
    args: &'a RebuildArgs,
    tool: &'a Tool,
    builder: Builder,
}

impl Rebuild<'_> {
    async fn go_on(&mut self, unfinished: Unfinished) -> Result<(), CommandError> {
        let name = &self.args.projection;
        if unfinished.phase == Phase::Loading {
            self.load().await?;
        }
        self.catch_up().await?;
        if unfinished.phase < Phase::Compared {
            if !self.args.no_compare {
                self.compare().await?;
            }
            begin::reached(
                &mut self.builder.connection,
                name,
                unfinished.generation,
                Phase::Compared,
            )
            .await?;
        }
        if self.args.no_switch {
            begin::make_ready(&mut self.builder.connection, name, unfinished.generation).await?;
            writeln!(
                cli_kit::stdout(),
                "generation {} of {name} is built; `projector rebuild {name} --resume` lets it \
                    take the live one's place",
                unfinished.generation
            )?;
            return Ok(());
        }
        let source = Arc::clone(self.builder.source());
        let old = switch::switch(
            self.tool,
            &source,
            unfinished.generation,
            self.args.patience(),
            Some(&mut self.builder),
        )
        .await?;
        announce(old, name, unfinished.generation)
    }

    async fn load(&mut self) -> Result<(), RebuildError> {
        let head = self.builder.look_at_head().await?;
        let mut progress = Progress::new(
            &format!("rebuilding {}", self.args.projection),
            self.builder.at().0,
            head.0,
        );
        self.builder.go_on(head, &mut progress).await?;
        progress.done();
        progress.say("making keys and indexes");
        self.builder.finish_tables().await
    }

    /// Comes so near to the head that the rest is a moment's work.
    async fn catch_up(&mut self) -> Result<(), RebuildError> {
        let mut progress = Progress::silent();
        loop {
            let head = self.builder.look_at_head().await?;
            let behind = head.0 - self.builder.at().0;
            self.builder.go_on(head, &mut progress).await?;
            if behind <= RANGE {
                return self.builder.retry_parked().await;
            }
        }
    }

    async fn compare(&mut self) -> Result<(), CommandError> {
        let projection = Arc::clone(self.builder.projection());
        let name = projection.name();
        let live = async |raw: &mut PgConnection| generation::live(raw, name).await;
        let Some(live) = self.builder.connection.run(live).await? else { return Ok(()) };
        let compared = match compare(&mut self.builder, &live, self.args.reveal).await {
            // After a change of the fold nobody may be left who brings the live rows on.
            Err(behind @ RebuildError::LiveBehind { .. })
                if !live.is_made_by(projection.as_ref()) =>
            {
                writeln!(cli_kit::stdout(), "not compared, since another fold made it: {behind}")?;
                return Ok(());
            }
            compared => compared?,
        };
        let Some(differences) = compared else {
            writeln!(
                cli_kit::stdout(),
                "not compared: the live generation {} was made from another history",
                live.generation
            )?;
            return Ok(());
        };
        write!(
            cli_kit::stdout(),
            "compared with the live generation {}: {differences}",
            live.generation
        )?;
        if differences.count() == 0 {
            return Ok(());
        }
        if !live.is_made_by(projection.as_ref()) {
            writeln!(
                cli_kit::stdout(),
                "another fold or other tables made the live rows: differences are expected"
            )?;
            return Ok(());
        }
        if self.args.despite_differences {
            Ok(())
        } else {
            Err(CommandError::Differs(self.args.projection.clone()))
        }
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
    let comparison =
        Comparison { projection: projection.as_ref(), live, other, only: &Only::All, reveal };
    let mut progress = Progress::silent();
    // Before it is waited for: the projector leaves one of another history where it is.
    let (name, number) = (projection.name(), live.generation);
    let at = builder
        .connection
        .run(async |raw: &mut PgConnection| generation::mark(raw, name, number).await)
        .await?;
    if !is_of_this_log(builder, at).await? {
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
            if !is_of_this_log(builder, next.mark).await? {
                return Ok(None);
            }
            builder.go_on(next.mark.position, &mut progress).await?;
            comparison.compare(&mut builder.connection, &next, &mut differences).await?;
            chunk = Some(next);
        }
    }
    Ok(Some(differences))
}

async fn is_of_this_log(builder: &Builder, mark: EventRef) -> Result<bool, ReplayError> {
    match builder.source().prove(mark).await {
        Err(ReplayError::OtherHistory(_)) => Ok(false),
        proved => proved.map(|()| true),
    }
}

/// The smallest position of a generation's partitions.
async fn position(
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
