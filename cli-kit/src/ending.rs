//! Exit codes, and the one-line error message of a failed command.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::cause::{causes, describe};
use crate::output::{is_reader_gone, visible};

/// Exit code: the command ran and found something wrong.
pub const NOT_IN_ORDER: u8 = 1;
/// Exit code: an argument or a setting is wrong.
pub const USAGE: u8 = 2;
/// Exit code: the command could not do its work.
pub const FAILED: u8 = 3;
/// Exit code: the reader of the output closed it early.
///
/// A shell reports the same code for a program that SIGPIPE ended (128 plus 13).
pub const READER_GONE: u8 = 141;

/// The error for a wrong argument or setting. Its text says what would be right.
///
/// Any error with this among its causes counts as wrong usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// Ends a failed command: prints the error on standard error and returns the exit code.
///
/// The message is one line that begins with the program's name. The exit code is `code`, or
/// [`USAGE`] if [`Usage`] is among the causes. If the reader of the output is gone, as the error or
/// one of its causes says, nothing is printed and the code is [`READER_GONE`].
pub fn failed(program: &str, error: &(dyn Error + 'static), code: u8) -> ExitCode {
    if is_reader_gone(error) {
        return ExitCode::from(READER_GONE);
    }
    eprintln!("{program}: {}", visible(&describe(error)));
    let usage = causes(error).any(<dyn Error>::is::<Usage>);
    ExitCode::from(if usage { USAGE } else { code })
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt;
    use std::process::ExitCode;

    use super::{FAILED, USAGE, Usage, failed};
    use crate::cause::describe;

    /// An error with an optional cause, which its own text may repeat.
    #[derive(Debug)]
    struct Outer(&'static str, Option<Box<dyn Error + 'static>>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref()
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let refused = || Outer("connection refused", None);
        let repeating = Outer("cannot talk: connection refused", Some(Box::new(refused())));
        assert_eq!(describe(&repeating), "cannot talk: connection refused");
        let outer = Outer("the log at db:5432/x", Some(Box::new(repeating)));
        assert_eq!(describe(&outer), "the log at db:5432/x: cannot talk: connection refused");
        assert_eq!(
            describe(&Outer("no disk", Some(Box::new(refused())))),
            "no disk: connection refused"
        );
    }

    #[test]
    fn wrong_usage_is_told_from_failure_wherever_it_is_among_the_causes() {
        let usage = Outer("a setting is wrong", Some(Box::new(Usage("URL is not set".to_owned()))));
        // `ExitCode` has no other way to compare two codes.
        let is = |code: ExitCode, expected: u8| {
            format!("{code:?}") == format!("{:?}", ExitCode::from(expected))
        };
        assert!(is(failed("test", &usage, FAILED), USAGE));
        assert!(is(failed("test", &Outer("no disk", None), FAILED), FAILED));
    }
}
