//! The projection engine: works read tables out from the log of events.
//!
//! A [`Projection`] says which events it reads, which rows each of them touches, and what becomes
//! of a row. This library does the rest:
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
//! It knows no projection and no event of its own.

pub mod generation;
pub mod operation;
pub mod ops;
pub mod pause;
mod projection;
pub mod replay;
pub mod runner;

pub use projection::{
    AnyProjection, AnyRows, CopyRow, Incoming, MAX_PARKED, MAX_PARTITIONS, NoSuchRow, Only,
    Parking, Partitions, Prepared, Projection, Reason, RowKey, Split, TooLarge, TooManyParked,
    Traced, WriteError, add, column, of, partition_of,
};
pub use runner::{Runner, Standing, Watch, project};
