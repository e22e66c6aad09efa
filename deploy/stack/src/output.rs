//! Standard output is for answers, standard error for progress.

use std::fmt::Display;
use std::io::Write;

/// Prints a line of an answer. A reader that has seen enough is no failure.
pub fn answer(line: impl Display) {
    let _closed = writeln!(std::io::stdout(), "{line}");
}
