//! Exponential backoff with full jitter.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The pauses of one call. Each is any time from zero to a limit, which doubles from pause to
/// pause. `postgres_kit::Pauses` waits at least half of the limit, which spreads the retries of
/// many processes of ours. Here, many calls of one process fail at the same moment, and full jitter
/// spreads them best.
#[derive(Debug)]
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    /// The limits of the pauses begin with `first` and grow up to `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        let limits = ExponentialBuilder::new().with_min_delay(first).with_max_delay(most);
        Self(limits.without_max_times().build())
    }

    /// The next pause: from zero to a limit, which doubles then.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.next_limit().mul_f64(rand::random_range(0.0..=1.0))
    }

    fn next_limit(&mut self) -> Duration {
        self.0.next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for millis in [100, 200, 400, 800, 1_000, 1_000] {
            let (limit, expected) = (backoff.next_limit(), Duration::from_millis(millis));
            // They are doubled as floating-point numbers.
            assert!(limit.abs_diff(expected) < Duration::from_micros(1), "{limit:?}");
        }
    }

    #[test]
    fn a_pause_is_anything_from_nothing_to_its_limit() {
        let first = || Backoff::new(Duration::from_secs(1), Duration::from_secs(9)).next_pause();
        let pauses: Vec<Duration> = (0..1_000).map(|_| first()).collect();
        let within = |low, high| {
            let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
            pauses.iter().filter(|pause| **pause >= low && **pause <= high).count()
        };
        assert_eq!(within(0, 1_000), 1_000);
        for part in 0..4 {
            let count = within(part * 250, part * 250 + 250);
            assert!((150..=350).contains(&count), "{count} in part {part}");
        }
    }
}
