//! How every command line of ours ends: what its exit code says, what it prints when it fails, and
//! what happens when nobody reads its output any more.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | done, and what was looked at is in order |
//! | 1 ([`NOT_IN_ORDER`]) | done, and something is wrong: a difference, a failed test, not ready |
//! | 2 ([`USAGE`]) | wrong usage: an argument or a setting |
//! | 3 ([`FAILED`]) | could not be done, or could not look: nothing is known about what was asked |
//! | 141 ([`READER_GONE`]) | the reader of the output ended first, as in `… \| head -1` |

mod ending;
mod output;

pub use ending::{FAILED, NOT_IN_ORDER, READER_GONE, USAGE, Usage, causes, describe, failed};
pub use output::{Stdout, is_reader_gone, print, stdout};
