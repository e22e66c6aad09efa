//! The checks that are too large for the suite and for CI: `cargo stack test --only NAME`.

use std::process::Command;

use clap::ValueEnum;

/// A check that is too large for the suite. Each is the tests of a module of
/// `acceptance/tests/it/only`, which the settings of the test runner leave out of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// Send what Schemathesis makes of the APIs' descriptions to a running stack, as nobody, as a
    /// user and as an administrator. Nothing may fail, be undescribed, or be refused for an
    /// unnamed reason. It needs Python 3.11 or later, with pip.
    Schemathesis,
    /// Pay and refund through the adapter of Stripe at localstripe, a double of Stripe that
    /// somebody else wrote. It checks shapes only. It needs Python 3.11 or later, with pip.
    Localstripe,
    /// Publish to RabbitMQ and consume from it while it is killed and loses its data, and blank what
    /// it holds of an erased person. It needs RabbitMQ, or Debian's apt.
    Rabbitmq,
}

impl Check {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schemathesis => "schemathesis",
            Self::Localstripe => "localstripe",
            Self::Rabbitmq => "rabbitmq",
        }
    }

    /// Makes the test runner run the check alone, and show at once what it prints.
    pub fn select(self, runner: &mut Command) {
        let tests = format!("test(/^only::{}::/)", self.name());
        runner.args(["--package", "acceptance", "--no-capture", "--ignore-default-filter"]);
        runner.args(["--filterset", &tests]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_check_has_the_name_that_the_command_line_takes() {
        for check in Check::value_variants() {
            assert_eq!(check.to_possible_value().unwrap().get_name(), check.name());
        }
    }
}
