//! Graceful shutdown. The first SIGTERM or SIGINT cancels the drain token, so work in flight can
//! finish. A second signal, or [`DRAIN_LIMIT`] after the drain began, stops the process at once.
//! The process may also begin the drain itself, after a failure.
//!
//! A thread of its own watches the signals and the limit. So work that blocks the runtime's threads
//! cannot hold up the end.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// How long a process may take to finish its work in flight.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// How long a program may take to end after it was stopped. The runtime waits for blocked threads
/// without a limit, so the watching thread ends the program then.
pub const EXIT_LIMIT: Duration = Duration::from_secs(2);

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
    pub fn listen() -> io::Result<Self> {
        Self::watched(|| ())
    }

    /// Starts listening for signals, for a program. If the program still runs [`EXIT_LIMIT`] after
    /// it was stopped, it ends with [`cli_kit::FAILED`].
    pub(crate) fn enforce() -> io::Result<Self> {
        Self::watched(|| {
            std::thread::sleep(EXIT_LIMIT);
            tracing::error!("the program does not end: something blocks its threads");
            std::process::exit(cli_kit::FAILED.into());
        })
    }

    /// Starts the watching thread, which does something `after` the stop.
    fn watched(after: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (shutdown, (started, start)) = (Self::default(), mpsc::channel());
        let watched = shutdown.clone();
        let watch = move || {
            let result =
                runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
                    let signals = runtime.block_on(async {
                        Ok::<_, io::Error>((
                            signal(SignalKind::terminate())?,
                            signal(SignalKind::interrupt())?,
                        ))
                    })?;
                    Ok((runtime, signals))
                });
            let watching = match result {
                Ok(watching) => watching,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(())).is_ok() {
                let (runtime, (terminate, interrupt)) = watching;
                runtime.block_on(watched.watch(terminate, interrupt, DRAIN_LIMIT));
                after();
            }
        };
        std::thread::Builder::new().name("shutdown".to_owned()).spawn(watch)?;
        start.recv().map_err(io::Error::other)??;
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
