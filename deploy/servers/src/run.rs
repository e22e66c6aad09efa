//! How long and with which seed a long proof runs: one code path, two counts.

use std::time::{SystemTime, UNIX_EPOCH};

/// The run that a test is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestRun {
    /// Whether the long counts were asked for.
    pub long: bool,
    /// The seed of everything random.
    pub seed: u64,
}

/// Reads the run from `DAYBOOK_TEST_COUNT` and `DAYBOOK_TEST_SEED`; without a seed, a new one.
///
/// # Panics
/// If the seed is not a number, so that a mistyped one is not silently another run.
#[allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests: a mistyped seed must not pass; a new seed comes from the clock"
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
    /// The count that this run makes of a proof, printed with the seed and with how to repeat it.
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
