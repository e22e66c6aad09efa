//! Processes that stand still while they are looked at: a server's backends, say.

use nix::sys::signal::Signal;

use crate::launch::send;

/// Stopped processes. They go on when this is dropped, whatever becomes of the test.
#[derive(Debug)]
#[must_use = "they go on when this is dropped"]
pub struct Stopped(Vec<u32>);

impl Stopped {
    /// Stops each of these processes, as Postgres and the system number them.
    ///
    /// # Panics
    /// If there is none, or one cannot be stopped.
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
                // It may have been ended meanwhile.
                eprintln!("{pid} does not go on: {error}");
            }
        }
    }
}
