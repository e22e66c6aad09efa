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

    /// Repeats `attempt` until it succeeds. After an error, `judge` gets the error and the length
    /// of the next pause. It reports the error, and returns it if another attempt is useless.
    ///
    /// # Errors
    /// What `judge` returns.
    pub async fn retry<T, E, F>(
        mut self,
        attempt: impl Fn() -> F,
        judge: impl Fn(E, Duration) -> Result<(), E>,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let pause = self.next_pause();
            judge(error, pause)?;
            tokio::time::sleep(pause).await;
        }
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

    #[tokio::test(start_paused = true)]
    async fn attempts_are_repeated_until_one_succeeds_or_another_one_is_useless() {
        let (tried, fails) = (std::cell::Cell::new(0), std::cell::Cell::new(3));
        let attempt = || async {
            tried.set(tried.get() + 1);
            if tried.get() > fails.get() { Ok(tried.get()) } else { Err(tried.get()) }
        };
        let judge = |error, pause| {
            assert!(pause <= Duration::from_secs(2));
            if error == 5 { Err(error) } else { Ok(()) }
        };
        let pauses = || Pauses::new(Duration::from_millis(100), Duration::from_secs(2));
        assert_eq!(pauses().retry(attempt, judge).await, Ok(4));
        fails.set(u32::MAX);
        assert_eq!(pauses().retry(attempt, judge).await, Err(5));
    }
}
