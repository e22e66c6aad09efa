//! The projection engine: works read tables out from the log of events.
//!
//! A [`Projection`] says which events it reads, which rows each of them touches, and what becomes
//! of a row, whose columns [`row!`] declares. This library does the rest:
//!
//! - [`Runner`] projects the log as it grows, each event exactly once and in order, shared among
//!   processes by leases on partitions;
//! - [`generation`] keeps several versions of a projection's tables next to each other;
//! - [`replay`] folds the log again from its beginning;
//! - [`ops`] is what people do with projections: see how they are, verify and explain rows,
//!   rebuild, and decide about events that a fold refused;
//! - [`operation`] keeps a record of what people asked for, and carries it out whatever process
//!   dies meanwhile;
//! - [`pause`] holds a projection back until somebody resumes it.
//!
//! With the feature `test-kit`, `test_kit` holds a projection of yours to all of this.
//!
//! It knows no projection and no event of its own.

mod chain;
pub mod generation;
mod limits;
pub mod operation;
pub mod ops;
pub mod pause;
mod projection;
pub mod replay;
pub mod runner;
#[cfg(feature = "test-kit")]
pub mod test_kit;

pub use chain::chain;
pub use projection::{
    AnyProjection, AnyRows, CopyRow, Incoming, MAX_PARKED, MAX_PARTITIONS, NoSuchRow, Only,
    Parking, Partitions, Prepared, Projection, ProjectionRow, Reason, RowKey, RowMisfit, Split,
    TooLarge, TooManyParked, Traced, WriteError, add, of, partition_of,
};
pub use runner::{Runner, Standing, Watch, project};

/// What the macros of this crate name, so that their users need not.
#[doc(hidden)]
pub mod macros {
    pub use postgres_kit::macros::{PgArguments, Result};
    pub use postgres_kit::{TableRow, arguments, columns, placeholders, row, sql};
}
