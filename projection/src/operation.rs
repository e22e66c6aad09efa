//! Operations: what people ask the projectors to do, recorded with who asked and why, and carried
//! out whatever process dies meanwhile.
//!
//! An operation is a row of `read_model.operations`. The process that accepts it only writes the
//! row and answers. Every projector process has an [`Executor`], which takes what is queued, and
//! what a process that is gone has left, under a lease:
//! - One operation at a time works on a projection ([`record::add`] refuses a second one).
//! - While it works, the executor writes once a second how far it is, and looks whether somebody
//!   wants it cancelled.
//! - Killed with -9, it is taken over within seconds: a rebuild goes on where its checkpoint is, a
//!   verification begins again, and what had been done but not recorded is found to be done.
//! - A database that is away is waited for; the record says so.
//!
//! Finished operations stay as a record: the newest [`MAX_KEPT`] of them.

mod attempt;
mod attend;
mod executor;
pub mod record;
mod refuse;
mod run;
mod task;
mod told;

pub use executor::{Executor, Reach, SILENCE_LIMIT};
pub use record::Operation;
pub use refuse::refused;
pub use task::{
    DropArguments, Kind, NoArguments, ParkedRetryArguments, ParkedSkipArguments, RebuildArguments,
    SwitchArguments, Task, VerifyArguments,
};

/// The most operations that wait or run, of all projections.
pub const MAX_UNFINISHED: i64 = 64;
/// The most finished operations that are kept.
pub const MAX_KEPT: i64 = 10_000;
/// How often processes may die at an operation before it counts as failed: perhaps it kills them.
pub const MAX_ATTEMPTS: i32 = 20;
