//! Exponential backoff between retries, with jitter.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Endless pauses that begin at `first` and double up to `most`. Each is between half and all of
/// that length.
pub(crate) fn growing(first: Duration, most: Duration) -> ExponentialBackoff {
    // Jitter adds up to the same amount again.
    ExponentialBuilder::new()
        .with_min_delay(first / 2)
        .with_max_delay(most / 2)
        .with_jitter()
        .without_max_times()
        .build()
}
