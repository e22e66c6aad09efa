//! The projection engine: computes read tables from the log of events.
//!
//! A [`Projection`] defines which events it reads, which rows each of them touches, and how it
//! changes a row. [`row!`] declares the columns of a row. This library does the rest:
//!
//! - [`Runner`] projects the log as it grows, each event exactly once and in order, shared among
//!   processes by leases on partitions;
//! - [`generation`] keeps several versions of a projection's tables next to each other;
//! - [`replay`] folds the log again from its beginning;
//! - [`ops`] has the tools for people: they show the status, verify and explain rows, rebuild, and
//!   decide about events that a fold refused;
//! - [`operation`] records what people asked for, and completes it even if processes die;
//! - [`pause`] stops a projection in every process until somebody resumes it.
//!
//! With the feature `test-kit`, `test_kit` tests your own projections.
//!
//! The library knows no projection and no event of its own.

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
    AnyProjection, AnyRows, CopyRow, Incoming, MAX_PARKED, MAX_PARTITIONS, NoSuchRow, Only, Origin,
    Parking, Partitions, Prepared, Projection, ProjectionRow, Reason, RowKey, RowMisfit, Split,
    TooLarge, TooManyParked, Traced, WriteError, add, of, partition_of,
};
pub use runner::{Runner, Standing, Watch, project};

/// What this crate's macros refer to, so that their users need no imports.
#[doc(hidden)]
pub mod macros {
    pub use crate::projection::{EVENT_COLUMNS, EVENT_WIDTH};
    pub use postgres_kit::macros::{PgArguments, Result};
    pub use postgres_kit::{TableRow, arguments, columns, placeholders, row, sql};
}
