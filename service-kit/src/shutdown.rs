//! Graceful shutdown. The first SIGTERM or SIGINT cancels the drain token, so work in flight can
//! finish. A second signal, or [`DRAIN_LIMIT`] after the drain began, stops the process at once.
//! The process may also begin the drain itself, after a failure.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// How long a process may take to finish its work in flight.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// The two stages of shutdown: drain, then stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
}

/// The error when a process stopped before its work in flight was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the work in flight was done")]
pub struct StoppedEarly;

impl Shutdown {
    /// Starts listening for signals.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(shutdown.clone().watch(terminate, interrupt, DRAIN_LIMIT));
        Ok(shutdown)
    }

    /// Creates a shutdown that no signal triggers, for tests. Cancel its drain token.
    pub fn manual() -> Self {
        Self::default()
    }

    /// The token that is cancelled when the process must take no new work and finish what is in
    /// flight.
    pub fn drain(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// The token that is cancelled when no time is left.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `main` until it ends, a second signal arrives, or the limit passes.
    ///
    /// # Errors
    /// [`StoppedEarly`].
    pub async fn run<T>(&self, main: impl Future<Output = T>) -> Result<T, StoppedEarly> {
        tokio::select! {
            result = main => Ok(result),
            () = self.stop.cancelled() => Err(StoppedEarly),
        }
    }

    async fn watch(self, mut terminate: Signal, mut interrupt: Signal, limit: Duration) {
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => {}
            () = self.drain.cancelled() => {}
        }
        tracing::info!(limit_ms = limit.as_millis(), "draining");
        self.drain.cancel();
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("signal during \
                the drain: stopping at once"),
            () = tokio::time::sleep(limit) => tracing::warn!("drain limit reached: stopping"),
        }
        self.stop.cancel();
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
