//! The clock of a held lease, and the size of the batches that fit into it.
//!
//! A consumer renews its lease between batches, on the way. So a consumer that hangs in a batch
//! renews nothing, and another one takes over.

use std::time::Duration;

use tokio::time::Instant;

/// When to renew a held lease, how long it surely lasts, and how many events to take at once.
///
/// A batch that takes too long is halved the next time, because it may be the work that is too
/// much, and not the server that is away. Each batch that succeeds doubles the size again.
#[derive(Debug, Clone)]
pub struct Held {
    duration: Duration,
    renew_every: Duration,
    kept_at: Instant,
    renew_at: Instant,
    max: usize,
    most: usize,
}

impl Held {
    /// Creates the clock of a lease that lasts for `duration`, is renewed every `renew_every`, and
    /// is due now. Batches have at most `max` events.
    pub fn new(duration: Duration, renew_every: Duration, max: usize) -> Self {
        let (now, max) = (Instant::now(), max.max(1));
        Self { duration, renew_every, kept_at: now, renew_at: now, max, most: max }
    }

    /// Records that the lease was taken or renewed by a call that began at `began`. The lease lasts
    /// from then on at least, whatever the clocks do.
    pub fn kept(&mut self, began: Instant) {
        self.kept_at = began;
        self.renew_at = began + self.renew_every;
    }

    /// The time since the last call that took or renewed the lease began.
    pub fn age(&self) -> Duration {
        self.kept_at.elapsed()
    }

    /// Whether the lease should be renewed now.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.renew_at
    }

    /// Whether the lease may have expired: another owner may hold it.
    pub fn is_late(&self) -> bool {
        self.age() > self.duration
    }

    /// The maximum number of events of the next batch.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Records that a batch succeeded.
    pub fn succeeded(&mut self) {
        self.most = self.most.saturating_mul(2).min(self.max);
    }

    /// Records that a batch took too long.
    pub fn took_too_long(&mut self) {
        self.most = (self.most / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_due_before_it_is_late_and_counts_from_the_begin_of_its_renewal() {
        let (duration, every) = (Duration::from_secs(9), Duration::from_secs(3));
        let mut held = Held::new(duration, every, 8);
        assert!(held.is_due() && !held.is_late());
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        held.kept(began);
        assert!(!held.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(held.is_due() && !held.is_late());
        tokio::time::advance(Duration::from_secs(7)).await;
        assert!(held.is_late(), "10 s after the renewal began");
    }

    #[tokio::test]
    async fn a_batch_that_takes_too_long_is_halved_down_to_one_event_and_grows_again() {
        let mut held = Held::new(Duration::from_secs(9), Duration::from_secs(3), 5);
        let mut sizes = vec![held.most()];
        for _ in 0..4 {
            held.took_too_long();
            sizes.push(held.most());
        }
        for _ in 0..4 {
            held.succeeded();
            sizes.push(held.most());
        }
        assert_eq!(sizes, [5, 2, 1, 1, 1, 2, 4, 5, 5]);
    }
}
