//! The limits of sending.

use std::time::Duration;

use outward::BreakerSettings;

/// The maximum number of subscriptions of a deployment.
pub const MAX_SUBSCRIPTIONS: i64 = 100;
/// The maximum number of event types of a subscription or replay.
pub const MAX_TYPES: usize = 100;
/// The maximum number of unfinished replays of a subscription.
pub const MAX_REPLAYS: i64 = 3;
/// The maximum rate of a replay, in events per second.
pub const MAX_RATE: i32 = 1_000;

/// The limits of sending to one subscription.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The time limit of one attempt, with the answer.
    pub attempt_limit: Duration,
    /// The maximum number of messages under way to a subscription, for each of its feeds.
    pub at_once: usize,
    /// The maximum number of events that are read from the log at once.
    pub page: u32,
    /// The pauses after failed attempts. After the last one fails, too, the delivery is parked.
    pub pauses: Vec<Duration>,
    /// A longer `Retry-After` counts as this.
    pub max_retry_after: Duration,
    /// The maximum number of deliveries of a feed that wait for another attempt. With more, the
    /// feed stays where it is in the log.
    pub max_waiting: i64,
    /// The maximum number of parked deliveries of a subscription. With more, it is paused.
    pub max_parked: i64,
    /// The longest time in which every attempt failed. After that, the subscription is paused.
    pub failing_for: Duration,
    /// When a receiver that keeps failing is left alone for a while.
    pub breaker: BreakerSettings,
    /// How often the tables and the log are looked at if nothing else happens.
    pub poll: Duration,
    /// How long the old secret signs, besides the new one, after a rotation.
    pub old_secret_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = Duration::from_mins;
        Self {
            attempt_limit: Duration::from_secs(10),
            at_once: 8,
            page: 64,
            pauses: vec![
                Duration::from_secs(5),
                minutes(1),
                minutes(5),
                minutes(30),
                minutes(2 * 60),
                minutes(5 * 60),
                minutes(10 * 60),
                minutes(14 * 60),
            ],
            max_retry_after: Duration::from_hours(1),
            max_waiting: 1_000,
            max_parked: 100,
            failing_for: Duration::from_hours(72),
            breaker: BreakerSettings::default(),
            poll: Duration::from_secs(1),
            old_secret_for: Duration::from_hours(24),
        }
    }
}

impl Limits {
    /// The pause after this many failed attempts; `None` if there are no more. It is up to a tenth
    /// longer, so that what failed together is not repeated together.
    pub(crate) fn pause(&self, attempts: i32, retry_after: Option<Duration>) -> Option<Duration> {
        let index = usize::try_from(attempts.max(1) - 1).unwrap_or_default();
        let pause = self.pauses.get(index)?.mul_f64(rand::random_range(1.0..=1.1));
        let asked = retry_after.unwrap_or_default().min(self.max_retry_after);
        Some(pause.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_after_more_than_a_day_and_a_receiver_can_ask_for_a_longer_pause() {
        let limits = Limits::default();
        let pauses: Vec<Duration> =
            (1..).map_while(|attempts| limits.pause(attempts, None)).collect();
        assert_eq!(pauses.len(), limits.pauses.len());
        assert!(pauses.iter().sum::<Duration>() > Duration::from_hours(24));
        let asked = |hours| limits.pause(1, Some(Duration::from_hours(hours)));
        assert_eq!(asked(1), Some(Duration::from_hours(1)));
        assert_eq!(asked(100), Some(limits.max_retry_after));
        assert_eq!(limits.pause(i32::MAX, Some(Duration::from_hours(1))), None);
    }
}
