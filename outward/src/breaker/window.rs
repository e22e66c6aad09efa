//! Counts the attempts of the last seconds.

use std::time::Duration;

use tokio::time::Instant;

/// The number of parts of a window. The oldest part is dropped as a whole.
const PARTS: u32 = 10;

/// The attempts of a window of time, counted in parts of it. Its size does not depend on their
/// number.
#[derive(Debug)]
pub(super) struct Window {
    part: Duration,
    began: Instant,
    /// The number of the current part.
    current: u64,
    /// Attempts and failures, by the last digit of the part's number.
    counts: [(u32, u32); PARTS as usize],
}

impl Window {
    pub(super) fn new(window: Duration) -> Self {
        let part = (window / PARTS).max(Duration::from_millis(1));
        let counts = [(0, 0); PARTS as usize];
        Self { part, began: Instant::now(), current: 0, counts }
    }

    /// Counts an attempt that ends now.
    pub(super) fn add(&mut self, has_failed: bool) {
        self.go_on();
        let at = index(self.current);
        let (attempts, failed) = &mut self.counts[at];
        *attempts = attempts.saturating_add(1);
        *failed = failed.saturating_add(u32::from(has_failed));
    }

    /// The numbers of attempts and of failed ones in the window.
    pub(super) fn counts(&mut self) -> (u32, u32) {
        self.go_on();
        self.counts.iter().fold((0_u32, 0_u32), |(all, all_failed), (attempts, failed)| {
            (all.saturating_add(*attempts), all_failed.saturating_add(*failed))
        })
    }

    /// Empties the parts that have left the window.
    fn go_on(&mut self) {
        let passed = self.began.elapsed().as_nanos() / self.part.as_nanos();
        let now = u64::try_from(passed).unwrap_or(u64::MAX);
        let left = now.saturating_sub(self.current).min(u64::from(PARTS));
        for step in 1..=left {
            let at = index(self.current.saturating_add(step));
            self.counts[at] = (0, 0);
        }
        self.current = now;
    }
}

/// Where the counts of a part are.
fn index(part: u64) -> usize {
    usize::try_from(part % u64::from(PARTS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_counts_as_long_as_the_window_says() {
        let mut window = Window::new(Duration::from_secs(10));
        window.add(true);
        tokio::time::advance(Duration::from_secs(5)).await;
        window.add(false);
        assert_eq!(window.counts(), (2, 1));
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(window.counts(), (2, 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(window.counts(), (1, 0));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(window.counts(), (0, 0));
        window.add(true);
        tokio::time::advance(Duration::from_hours(1_000)).await;
        window.add(false);
        assert_eq!(window.counts(), (1, 0));
    }
}
