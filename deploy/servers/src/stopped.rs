//! Processes that a test freezes, for example a server's backends.

use nix::sys::signal::Signal;

use crate::launch::send;

/// A set of frozen processes. Dropping it resumes them, even if the test fails.
#[derive(Debug)]
#[must_use = "dropping this resumes the processes"]
pub struct Stopped(Vec<u32>);

impl Stopped {
    /// Freezes these processes. The ids are `i32`, as Postgres and the system return them.
    ///
    /// # Panics
    /// If the list is empty, or a process cannot be stopped.
    #[allow(clippy::panic, reason = "tests: failing loudly is their error handling")]
    pub fn stop(pids: impl IntoIterator<Item = i32>) -> Stopped {
        let mut stopped = Stopped(Vec::new());
        for pid in pids {
            let pid = u32::try_from(pid).unwrap_or_else(|_| panic!("{pid} is no process"));
            send(pid, Signal::SIGSTOP).unwrap_or_else(|error| panic!("{error}"));
            stopped.0.push(pid);
        }
        assert!(!stopped.0.is_empty(), "there is nothing to stop");
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            if let Err(error) = send(*pid, Signal::SIGCONT) {
                // The process may have ended in the meantime.
                eprintln!("cannot resume process {pid}: {error}");
            }
        }
    }
}
