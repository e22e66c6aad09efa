//! Standard output is for answers, standard error for progress.

use std::fmt::Display;
use std::io::{Result, Write};

/// Prints a line of an answer.
pub fn answer(line: impl Display) -> Result<()> {
    writeln!(cli_kit::stdout(), "{line}")
}
