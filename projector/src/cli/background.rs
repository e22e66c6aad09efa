//! The settings of the background verification.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use projection::ops::verify::background::Settings;

/// The settings of the background verification.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BackgroundArgs {
    /// The number of seconds between two verifications of a sample of each projection in the
    /// background; 0 disables them.
    #[arg(
        long = "verify-every",
        env = "VERIFY_EVERY",
        value_name = "SECONDS",
        default_value_t = 900
    )]
    pub(crate) every: u32,
    /// The approximate number of rows of each projection that a background verification compares.
    #[arg(long = "verify-rows", env = "VERIFY_ROWS", value_name = "ROWS", default_value = "1000")]
    pub(crate) rows: NonZeroU32,
    /// The number of events per second that a background verification reads.
    #[arg(
        long = "verify-rate",
        env = "VERIFY_RATE",
        value_name = "EVENTS_PER_SECOND",
        default_value = "2000"
    )]
    pub(crate) rate: NonZeroU32,
    /// The number of events that a live projection may lag. Background verification waits while one
    /// lags more.
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
