//! Reports the progress of a long operation.

use std::fmt;

use event_store::Position;

/// A stage of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Reading the log for one row.
    Reading,
    /// Replaying the log into temporary tables.
    Replaying,
    /// Building a generation of this projection.
    Rebuilding(&'static str),
    /// Creating keys and indexes of a new generation. Its positions stay 0.
    Indexing,
    /// Catching up this generation of a projection.
    CatchingUp(&'static str, i32),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => write!(f, "reading the log"),
            Self::Replaying => write!(f, "replaying the log"),
            Self::Rebuilding(projection) => write!(f, "rebuilding {projection}"),
            Self::Indexing => write!(f, "making keys and indexes"),
            Self::CatchingUp(projection, generation) => {
                write!(f, "catching up {projection} g{generation}")
            }
        }
    }
}

/// Receives progress reports. Calls are frequent and must not block.
pub trait Progress: Send + Sync {
    /// A stage begins; it goes from one position of the log to another.
    fn begins(&self, work: Work, from: Position, to: Position);

    /// The current stage has reached `position`, and ends at `end`.
    fn at(&self, position: Position, end: Position);

    /// The current stage is done.
    fn ends(&self);
}

/// Ignores progress reports.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begins(&self, _: Work, _: Position, _: Position) {}

    fn at(&self, _: Position, _: Position) {}

    fn ends(&self) {}
}
