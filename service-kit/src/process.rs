//! How a process starts its main task and reports its failure.

use std::error::Error;
use std::process::ExitCode;

use crate::config::SecretError;
use crate::signing::KeyError;

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
        cause.is::<SecretError>() || cause.is::<KeyError>() || cause.is::<cli_kit::Usage>()
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
