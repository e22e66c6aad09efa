//! Operations: work that people ask the projectors for. Each is recorded with who asked and why,
//! and survives the death of the process that works on it.
//!
//! An operation is a row of `read_model.operations`. The process that accepts it writes the row and
//! answers. Every projector process has an [`Executor`]. It takes queued operations, and those that
//! a dead process left, under a lease:
//! - One operation at a time works on a projection. [`record::add`] refuses a second one.
//! - Once a second, the executor records the progress and checks whether the operation is to be
//!   cancelled.
//! - After a kill -9, another process takes over within seconds. A rebuild continues at its
//!   checkpoint, and a verification begins again. Each kind finds out what is done already.
//! - While a database is away, the operation waits for it, and the record says so.
//!
//! The newest [`MAX_KEPT`] finished operations are kept.

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

/// The maximum number of operations that wait or run, over all projections.
pub const MAX_UNFINISHED: i64 = 64;
/// The maximum number of finished operations that are kept.
pub const MAX_KEPT: i64 = 10_000;
/// The maximum number of attempts. An operation that so many processes died at has failed: it may
/// be what kills them.
pub const MAX_ATTEMPTS: i32 = 20;
