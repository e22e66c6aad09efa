//! The length and the seed of a randomised test: the same code runs a short or a long count.

use std::time::{SystemTime, UNIX_EPOCH};

/// The settings of the test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestRun {
    /// Whether the long counts were requested.
    pub long: bool,
    /// The seed of all random choices.
    pub seed: u64,
}

/// Reads the settings from `DAYBOOK_TEST_COUNT` and `DAYBOOK_TEST_SEED`. Without a seed, it picks a
/// new one.
///
/// # Panics
/// If the seed is not a number: a typo must not silently start a different run.
#[allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests: a mistyped seed must fail; a new seed comes from the clock"
)]
pub fn test_run() -> TestRun {
    let long = std::env::var("DAYBOOK_TEST_COUNT").is_ok_and(|count| count == "long");
    let seed = match std::env::var("DAYBOOK_TEST_SEED") {
        Ok(text) => text
            .trim()
            .parse()
            .unwrap_or_else(|error| panic!("DAYBOOK_TEST_SEED is {text:?}: {error}")),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::from(since.subsec_nanos()) ^ since.as_secs()),
    };
    TestRun { long, seed }
}

impl TestRun {
    /// Returns the count for this run, and prints it with the seed and the command that repeats the
    /// run.
    pub fn count(&self, short: u64, long: u64) -> u64 {
        let count = if self.long { long } else { short };
        let flag = if self.long { " --long" } else { "" };
        eprintln!(
            "seed {}, count {count}; to repeat: cargo stack test --seed {}{flag}",
            self.seed, self.seed
        );
        count
    }
}
