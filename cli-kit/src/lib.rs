//! How our command lines end: their exit codes, their error message, and what they do when nobody
//! reads their output any more.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | done, and nothing is wrong |
//! | 1 ([`NOT_IN_ORDER`]) | done, and something is wrong: a difference, a failed test, not ready |
//! | 2 ([`USAGE`]) | wrong usage: an argument or a setting |
//! | 3 ([`FAILED`]) | could not be done, or could not look: the answer is not known |
//! | 141 ([`READER_GONE`]) | the reader of the output closed it early, as in `… \| head -1` |

mod cause;
mod ending;
mod output;

pub use cause::{causes, describe};
pub use ending::{FAILED, NOT_IN_ORDER, READER_GONE, USAGE, Usage, failed};
pub use output::{Stdout, is_reader_gone, print, stdout, visible};
