//! Notices a runner that makes no progress, because a runner that hangs cannot report it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::watch::{STALLED_AFTER, Watch};

/// How often the pulse is checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time of the runner's last progress.
#[derive(Debug, Clone)]
pub(crate) struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    /// Records progress.
    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Watches the runner's pulse until the returned handle is dropped.
pub(crate) fn guard(watch: Watch) -> AbortOnDropHandle<()> {
    let looking = async move {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let silence = watch.pulse().silence();
            if silence > STALLED_AFTER {
                watch.hangs(silence);
            }
        }
    };
    AbortOnDropHandle::new(tokio::spawn(looking))
}

#[cfg(test)]
mod tests {
    use service_kit::clock;
    use service_kit::health::Health;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_runner_that_does_not_move_is_not_ready_though_it_cannot_say_so() {
        let health = Health::new();
        let watch = Watch::new(&health, clock::system());
        let _guard = guard(watch.clone());
        let is_ready = || health.report().components["projections"].ready;
        watch.partitions(&[]);
        tokio::time::advance(STALLED_AFTER.saturating_sub(LOOK_EVERY)).await;
        tokio::task::yield_now().await;
        assert!(is_ready());
        for _ in 0..3 {
            tokio::time::advance(LOOK_EVERY).await;
            tokio::task::yield_now().await;
        }
        let reason = health.report().components["projections"].reason.clone();
        assert!(
            !is_ready()
                && reason.is_some_and(|reason| reason.starts_with("nothing has moved for ")),
            "it hangs"
        );
        watch.partitions(&[]);
        assert!(is_ready(), "it moves again");
    }
}
