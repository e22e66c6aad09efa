//! How long to wait after failures.

use std::time::Duration;

use super::{RETRY_FIRST, RETRY_MOST};

/// The wait after so many failures in a row: doubled each time, and jittered, so that the parts that failed together do not all come back at once.
pub(super) fn backoff(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MOST).mul_f64(rand::random_range(0.5..1.0))
}
