//! What can go wrong with a local server, said so that a person can act on it.

use std::path::PathBuf;

/// A local server could not be found, fetched, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A test that needs a server was started without one.
    #[error("{variable} is not set: this test needs real servers, run `cargo stack test`")]
    NotPrepared {
        /// The environment variable that names the server.
        variable: &'static str,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Spawn {
        /// The program, with its arguments where it has any.
        program: String,
        /// What caused it.
        #[source]
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program, with its arguments where it has any.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A program did not end in time, and was killed.
    #[error("{program} did not end within {seconds} s and was killed; it said: {output}")]
    Unfinished {
        /// The program, with its arguments where it has any.
        program: String,
        /// How long it had.
        seconds: u64,
        /// What it had printed.
        output: String,
    },
    /// Something else did not come in time.
    #[error("waited {seconds} s in vain: {what}")]
    Late {
        /// What was awaited.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// A server did not become ready, or did not stop, in time.
    #[error("{server} did not {what} within {seconds} s; its log says: {log}")]
    Timeout {
        /// The server.
        server: &'static str,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A server ended while it was being started.
    #[error("{server} ended while starting; its log says: {log}")]
    Ended {
        /// The server.
        server: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A file or folder could not be read, written or given away.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What caused it.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be signalled.
    #[error("cannot signal process {pid}")]
    Signal {
        /// The process.
        pid: u32,
        /// What caused it.
        #[source]
        source: nix::errno::Errno,
    },
    /// A downloaded file is not the one that is pinned.
    #[error("{file}: the checksum is {found}, expected {expected}; the file was not used")]
    Checksum {
        /// The file.
        file: String,
        /// What was found.
        found: String,
        /// What is pinned.
        expected: &'static str,
    },
    /// There is nothing pinned for this machine.
    #[error("no {server} is pinned for {platform}; install it: {hint}")]
    NoPin {
        /// The server.
        server: &'static str,
        /// The operating system and processor.
        platform: String,
        /// A command that installs it.
        hint: String,
    },
    /// Nothing that could download a server was found.
    #[error("{server} is missing, and so is pip, which could fetch it; install either: {hint}")]
    NoPip {
        /// The server.
        server: &'static str,
        /// A command that installs it.
        hint: String,
    },
}

impl ServerError {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> ServerError {
        let path = path.into();
        move |source| ServerError::File { action, path, source }
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &std::path::Path) -> String {
    const LINES: usize = 12;
    match std::fs::read_to_string(log) {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        }
        Err(error) => format!("(no log at {}: {error})", log.display()),
    }
}
