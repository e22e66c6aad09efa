//! The rounds of a background task.

use std::time::Duration;

use service_kit::Pulse;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// When a background task does its work again.
pub(super) struct Rounds<'a> {
    ticks: Interval,
    pulse: &'a Pulse,
    stop: CancellationToken,
}

impl<'a> Rounds<'a> {
    /// The first round begins at once, and the next ones in intervals of `every`, until `stop`.
    pub(super) fn new(every: Duration, pulse: &'a Pulse, stop: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, pulse, stop }
    }

    /// Waits for the next round, or for `wake`. Returns false when the task is to end.
    pub(super) async fn next(&mut self, wake: impl Future<Output = ()> + Send) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => {
                self.pulse.rest();
                return false;
            }
            _ = self.ticks.tick() => {}
            () = wake => {}
        }
        self.pulse.beat();
        true
    }
}
