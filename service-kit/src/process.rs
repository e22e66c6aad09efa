//! The beginning and the end of a process.

use std::error::Error;
use std::process::ExitCode;

use crate::config::SecretError;
use crate::signing::KeyError;

/// Runs a process's work as a task, next to those that it starts. What `#[tokio::main]` polls
/// itself has a thread of its own, so that everything that such work and a task tell each other
/// would cross threads, and each time wake another one.
///
/// # Panics
/// When the work does.
pub async fn as_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // Nobody aborts it, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Ends a process or a command that failed: in the log where there is one, else on standard error.
/// The exit code is `code`, or [`cli_kit::USAGE`] where a setting is the cause.
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
