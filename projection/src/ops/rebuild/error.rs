//! Why a generation was not rebuilt or switched to.

use event_store::Position;

use crate::generation::SchemaError;
use crate::replay::ReplayError;
use crate::runner::RunError;
use crate::runner::parked::AgainError;

/// Why a generation was not rebuilt or switched to.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log could not be replayed.
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
        /// The projection's name.
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
        /// The projection's name.
        projection: String,
        /// The number of the generation, from 1.
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
    /// No generation that is built has this number.
    #[error("{0} has no generation {1} that is built")]
    NoGeneration(String, i32),
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
