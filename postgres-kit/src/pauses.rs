//! Exponential backoff between retries.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Exponential backoff between retries. Each pause is about twice as long as the one before, up to
/// a limit. Jitter keeps many clients that failed together from retrying together.
///
/// A pause takes between half and all of its nominal length.
#[derive(Debug)]
pub struct Pauses {
    shape: ExponentialBuilder,
    ahead: ExponentialBackoff,
}

impl Pauses {
    /// A backoff that starts at `first` and grows up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        // Jitter adds up to the same amount again.
        let shape = ExponentialBuilder::new()
            .with_min_delay(first / 2)
            .with_max_delay(most / 2)
            .with_jitter()
            .without_max_times();
        Self { shape, ahead: shape.build() }
    }

    /// Returns the next pause.
    pub fn next_pause(&mut self) -> Duration {
        loop {
            if let Some(pause) = self.ahead.next() {
                return pause;
            }
            self.reset();
        }
    }

    /// Sleeps for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// Starts again from the first pause; call it after a success.
    pub fn reset(&mut self) {
        self.ahead = self.shape.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_again_after_a_success() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(2));
        for most in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let (pause, most) = (pauses.next_pause(), Duration::from_millis(most));
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        pauses.reset();
        assert!(pauses.next_pause() <= Duration::from_millis(100));
    }
}
