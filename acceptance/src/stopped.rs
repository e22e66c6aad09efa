//! Processes that are stopped and go on when this is dropped, whatever becomes of the test.

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Stopped processes: server backends, say.
#[derive(Debug)]
pub struct Stopped(Vec<Pid>);

impl Stopped {
    /// Stops each of them.
    ///
    /// # Errors
    /// There is none, or one cannot be signalled; those before it go on.
    pub fn stop(pids: &[i32]) -> Result<Stopped> {
        ensure!(!pids.is_empty(), "there is nothing to stop");
        let mut stopped = Stopped(Vec::new());
        for pid in pids.iter().map(|pid| Pid::from_raw(*pid)) {
            kill(pid, Signal::SIGSTOP)?;
            stopped.0.push(pid);
        }
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            if let Err(error) = kill(*pid, Signal::SIGCONT) {
                eprintln!("{pid} does not go on: {error}");
            }
        }
    }
}
