//! How far a long operation is, for whoever waits for it.

use std::fmt;

use event_store::Position;

/// A stretch of work that an operation reports on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The log is read for one row.
    Reading,
    /// The log is replayed into temporary tables.
    Replaying,
    /// A generation of this projection is built.
    Rebuilding(&'static str),
    /// Keys and indexes of a new generation are made. Its positions stay 0.
    Indexing,
    /// This generation of a projection catches up.
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

/// Is told how far an operation is. The calls come often and must not block.
pub trait Progress: Send + Sync {
    /// Work begins that goes from one position of the log to another.
    fn begins(&self, work: Work, from: Position, to: Position);

    /// The work that began last has come to this position, and ends at that one.
    fn at(&self, position: Position, end: Position);

    /// The work that began last is done.
    fn ends(&self);
}

/// For operations that nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begins(&self, _: Work, _: Position, _: Position) {}

    fn at(&self, _: Position, _: Position) {}

    fn ends(&self) {}
}
