//! The one way to start, run and stop a process.
//!
//! A process serves ports and does other work at the same time. One rule governs the end. If the
//! work ends or fails, serving drains. If serving ends, the work drains. A signal drains both. The
//! first error is the process's error. A second signal, or the drain limit, stops what still runs.
//! A program whose threads are blocked then ends within
//! [`EXIT_LIMIT`](crate::shutdown::EXIT_LIMIT).
//!
//! The work decides with two tokens when each of its parts ends: [`Process::drain`] for a part that
//! takes new work, [`Process::served`] for a part that requests in flight still need.

use std::convert::Infallible;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use axum::Router;

use crate::admin;
use crate::config::{ListenRefused, LoopbackAddr, SecretError};
use crate::health::Health;
use crate::http::tls::{self, SILENCE_LIMIT, Tls};
use crate::http::{Port, Ports, ServeError};
use crate::shutdown::{CancellationToken, Shutdown, StoppedEarly};
use crate::signing::KeyError;
use crate::telemetry::{Metrics, Telemetry, TelemetryError};

/// A running process: its telemetry, its health and its shutdown.
#[derive(Debug)]
pub struct Process {
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
    served: CancellationToken,
}

/// Why a process did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Logs or metrics did not start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The signal handlers cannot be installed.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    /// An address cannot be bound, or a server panicked.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A second signal or the drain limit stopped the process.
    #[error(transparent)]
    StoppedEarly(#[from] StoppedEarly),
    /// The work panicked. The panic's message is on standard error.
    #[error("the work of the process panicked")]
    Panicked,
}

impl Process {
    /// Starts logs with a filter as in `LOG`, metrics, and listening for signals. Call it once,
    /// inside the runtime.
    ///
    /// # Errors
    /// [`ProcessError::Telemetry`] and [`ProcessError::Signals`].
    pub fn start(name: &'static str, log: &str) -> Result<Self, ProcessError> {
        let telemetry = Telemetry::start(name, log)?;
        let shutdown = Shutdown::enforce().map_err(ProcessError::Signals)?;
        Ok(Self::with(telemetry.metrics(), shutdown))
    }

    /// Creates a process with metrics and a shutdown made elsewhere, for tests.
    pub fn with(metrics: Metrics, shutdown: Shutdown) -> Self {
        Self { metrics, health: Health::new(), shutdown, served: CancellationToken::new() }
    }

    /// Returns the health that `/readyz` shows.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Returns the token that is cancelled when the process must take no new work.
    pub fn drain(&self) -> CancellationToken {
        self.shutdown.drain()
    }

    /// Returns the token that is cancelled when the last request is answered.
    pub fn served(&self) -> CancellationToken {
        self.served.clone()
    }

    /// Returns the admin port with the probes and the metrics.
    pub fn admin(&self, address: LoopbackAddr) -> Port {
        Port::admin(address, admin::router(self.health.clone(), self.metrics.clone()))
    }

    /// Returns the admin port with the probes, the metrics and an API for operators.
    pub fn admin_with(&self, address: LoopbackAddr, api: Router) -> Port {
        Port::admin(address, admin::router_with(self.health.clone(), self.metrics.clone(), api))
    }

    /// Binds the ports, then serves and works until both have ended. See the module for the rule.
    ///
    /// # Errors
    /// An address cannot be bound, in which case the work did not start. Otherwise the first error
    /// of the work or the servers, or [`ProcessError::StoppedEarly`].
    pub async fn run<E: From<ProcessError> + Send>(
        &self,
        ports: Ports,
        work: impl Future<Output = Result<(), E>> + Send,
    ) -> Result<(), E> {
        let bound = ports.bind().await.map_err(ProcessError::Serve)?;
        let (drain, first) = (self.drain(), Mutex::new(None));
        let ended = |result: Result<(), E>| {
            if let Err(error) = result {
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            drain.cancel();
        };
        let certificates = keep(bound.certificates(), &self.health);
        let serving = async {
            let served = tokio::select! {
                served = bound.serve(drain.clone(), &self.health) => served,
                never = certificates => match never {},
            };
            self.served.cancel();
            ended(served.map_err(|error| ProcessError::Serve(error).into()));
        };
        let working = async {
            let worked = caught(work).await;
            ended(worked.unwrap_or_else(|| Err(ProcessError::Panicked.into())));
        };
        let done = self.shutdown.run(Box::pin(async { tokio::join!(serving, working) })).await;
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => done.map(drop).map_err(|error| ProcessError::StoppedEarly(error).into()),
        }
    }

    /// Finishes something after [`Process::run`], within the drain limit that has begun.
    ///
    /// # Errors
    /// [`StoppedEarly`].
    pub async fn finish<T>(&self, last: impl Future<Output = T>) -> Result<T, StoppedEarly> {
        self.shutdown.run(last).await
    }
}

/// Keeps the certificates of a process's ports up to date, for ever.
async fn keep(certificates: Vec<Tls>, health: &Health) -> Infallible {
    if certificates.is_empty() {
        return std::future::pending().await;
    }
    let component = health.optional_component("certificate");
    let pulse = health.optional_pulse("certificate_looks", SILENCE_LIMIT);
    tls::keep(&certificates, &component, &pulse).await
}

/// Runs a future; `None` if it panicked. A failed future is not polled again.
async fn caught<T>(work: impl Future<Output = T> + Send) -> Option<T> {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Runs a process's main work as a task on the runtime's worker threads. `#[tokio::main]` would
/// poll it on a separate thread, and every message between it and a task would wake another thread.
///
/// # Panics
/// If the work panics.
pub async fn as_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // Nothing aborts the task, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reports a failed process or command: in the log if there is one, or on standard error. The exit
/// code is `code`, or [`cli_kit::USAGE`] if a setting is the cause.
pub fn failed(program: &str, error: &(dyn Error + 'static), code: u8) -> ExitCode {
    let is_setting = |cause: &(dyn Error + 'static)| {
        cause.is::<SecretError>()
            || cause.is::<KeyError>()
            || cause.is::<ListenRefused>()
            || cause.is::<cli_kit::Usage>()
    };
    let code = if cli_kit::causes(error).any(is_setting) { cli_kit::USAGE } else { code };
    if tracing::enabled!(tracing::Level::ERROR) && !cli_kit::is_reader_gone(error) {
        tracing::error!(error = cli_kit::describe(error), "{program} failed");
        return ExitCode::from(code);
    }
    cli_kit::failed(program, error, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_its_panic_goes_on() {
        assert_eq!(as_task(async { 1 }).await, 1);
        let panicked = tokio::spawn(as_task(async { panic!("on purpose") })).await;
        assert!(panicked.is_err_and(|error| error.is_panic()));
    }
}
