//! The backoff after failures.

use std::time::Duration;

use super::{RETRY_FIRST, RETRY_MOST};

/// The pause after `failures` earlier failures in a row, when the last attempt took `took`.
///
/// The time between the starts of two attempts doubles each time. Jitter keeps partitions that
/// failed together from retrying together. An attempt on a silent server takes its whole limit,
/// which counts towards that time, so a server that answers again is used soon.
pub(super) fn backoff(failures: u32, took: Duration) -> Duration {
    let apart = RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MOST);
    let pause = apart.saturating_sub(took).max(RETRY_FIRST);
    pause.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_is_asked_less_and_less_often() {
        let pauses = (0..20).map(|failures| backoff(failures, Duration::ZERO));
        for (pause, most) in pauses.zip([100, 200, 400, 800, 1600].into_iter().chain([2_000; 15])) {
            let most = Duration::from_millis(most);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
    }

    #[test]
    fn an_attempt_that_was_long_silent_is_soon_made_again() {
        assert!(backoff(20, Duration::from_secs(3)) <= RETRY_FIRST);
        assert!(backoff(20, Duration::from_millis(500)) > RETRY_FIRST);
    }
}
