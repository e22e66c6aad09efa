//! Settings of the verification in the background.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use projection::ops::verify::background::Settings;

/// Settings of the verification in the background.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BackgroundArgs {
    /// Verify a sample of each projection in the background, so many seconds after the last time;
    /// 0: never.
    #[arg(
        long = "verify-every",
        env = "VERIFY_EVERY",
        value_name = "SECONDS",
        default_value_t = 900
    )]
    pub(crate) every: u32,
    /// About how many rows of each projection a verification in the background looks at.
    #[arg(long = "verify-rows", env = "VERIFY_ROWS", value_name = "ROWS", default_value = "1000")]
    pub(crate) rows: NonZeroU32,
    /// How many events a second a verification in the background reads.
    #[arg(
        long = "verify-rate",
        env = "VERIFY_RATE",
        value_name = "EVENTS_PER_SECOND",
        default_value = "2000"
    )]
    pub(crate) rate: NonZeroU32,
    /// How many events a live projection may be behind; verification in the background stands still
    /// while one is further.
    #[arg(
        long = "verify-most-lag",
        env = "VERIFY_MOST_LAG",
        value_name = "EVENTS",
        default_value_t = 1_000
    )]
    pub(crate) most_lag: u32,
}

impl From<BackgroundArgs> for Settings {
    fn from(args: BackgroundArgs) -> Self {
        let BackgroundArgs { every, rows, rate, most_lag } = args;
        let every = (every > 0).then(|| Duration::from_secs(every.into()));
        Self { every, rows, rate, most_lag }
    }
}
