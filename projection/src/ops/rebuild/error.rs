//! Why a generation was not rebuilt, switched to or dropped.

use event_store::Position;

use crate::generation::SchemaError;
use crate::pause::Pause;
use crate::replay::ReplayError;
use crate::runner::parked::AgainError;

/// Why a generation was not rebuilt, switched to or dropped.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The rebuild was paused. Its work is kept.
    #[error("paused at position {0}")]
    Paused(Position),
    /// Another process took over the generation.
    #[error("another process has taken over the rebuild")]
    TakenOver,
    /// Another process builds or projects the generation.
    #[error("generation {1} of {0} is in the hands of another process")]
    Busy(String, i32),
    /// An earlier rebuild is not finished.
    #[error(
        "a rebuild of {0} into generation {1} is not finished: resume it with \
            `projector rebuild {0} --resume`, or drop it with `projector drop {0} {1}`"
    )]
    Unfinished(String, i32),
    /// There is no rebuild to resume or pause.
    #[error("{0} has no unfinished rebuild")]
    NothingUnfinished(String),
    /// A program with another fold version or other tables started it.
    #[error("{0}; `projector drop` abandons the rebuild")]
    NotOurs(String),
    /// The live generation makes no progress, so the two cannot be compared at one position.
    #[error(
        "the live generation of {projection} is at {live}, behind {built}, and makes no progress: \
            not compared; use `--no-compare` to continue"
    )]
    LiveBehind {
        /// The name of the projection.
        projection: String,
        /// The position of the live generation.
        live: Position,
        /// The position of the new generation.
        built: Position,
    },
    /// The projection is paused, so its live rows cannot be compared at the position of the new
    /// ones.
    #[error(
        "{name} is paused by {by} since {since} UTC ({reason}), and a rebuild compares with its \
            live rows: run `projector resume {name}` first, or do not compare (`--no-compare`)",
        name = .0.projection, by = .0.paused_by, reason = .0.reason,
        since = .0.since.format("%Y-%m-%d %H:%M:%S")
    )]
    ProjectionPaused(Box<Pause>),
    /// The generation to switch to would show an earlier position.
    #[error(
        "generation {generation} of {projection} is at {at}, behind {shown}, which queries \
            have already seen, and does not catch up{why}"
    )]
    WouldGoBack {
        /// The name of the projection.
        projection: String,
        /// The number of the generation.
        generation: i32,
        /// The position of the generation.
        at: Position,
        /// The position that queries have seen.
        shown: Position,
        /// The reason, if it is known; otherwise empty.
        why: String,
    },
    /// Queries or the projector held the tables all the time.
    #[error(
        "could not lock the tables of {0} for the switch: queries hold them too long; try again"
    )]
    NoMoment(String),
    /// No other generation was live before.
    #[error("{0} has no earlier generation to switch back to")]
    NothingToSwitchBackTo(String),
    /// There is no finished generation with this number.
    #[error("{0} has no finished generation {1}")]
    NoGeneration(String, i32),
    /// The generation cannot be dropped; the text says why.
    #[error("generation {1} of {0} was not dropped: {2}")]
    NotDropped(String, i32, &'static str),
}

impl From<AgainError> for RebuildError {
    fn from(error: AgainError) -> Self {
        match error {
            AgainError::Lost => Self::TakenOver,
            AgainError::Database(error) => Self::Database(error),
            AgainError::Store(error) => Self::Replay(error.into()),
            AgainError::Keys(error) => Self::Replay(error.into()),
            AgainError::OtherEvent(position) => Self::Replay(ReplayError::OtherHistory(position)),
            AgainError::Refused(position, why) => Self::Replay(ReplayError::Event(position, why)),
        }
    }
}
