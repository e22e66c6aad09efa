//! Answers go to standard output, progress to standard error.

use std::fmt::Display;
use std::io::{Result, Write};

/// Prints one line of an answer.
pub fn answer(line: impl Display) -> Result<()> {
    writeln!(cli_kit::stdout(), "{line}")
}
