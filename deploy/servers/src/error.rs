//! Errors of local servers, with enough detail to act on.

use std::path::PathBuf;

/// An error while finding, downloading, starting or stopping a local server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A test needs a server, but was started without one.
    #[error("{variable} is not set: this test needs real servers, run `cargo stack test`")]
    NotPrepared {
        /// The environment variable that names the server.
        variable: &'static str,
    },
    /// A program could not be started.
    #[error("cannot run {program}")]
    Spawn {
        /// The program, with its arguments if it has any.
        program: String,
        /// The error of the operating system, as the start returned it.
        #[source]
        source: std::io::Error,
    },
    /// A program exited with a failure.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program, with its arguments if it has any.
        program: String,
        /// The exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// A program did not end in time and was killed.
    #[error("{program} did not end within {seconds} s and was killed; it said: {output}")]
    Unfinished {
        /// The program, with its arguments if it has any.
        program: String,
        /// The limit, in seconds.
        seconds: u64,
        /// Its output so far.
        output: String,
    },
    /// Something else did not happen in time.
    #[error("waited {seconds} s in vain: {what}")]
    Late {
        /// The awaited event.
        what: String,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// A server did not become ready, or did not stop, in time.
    #[error("{server} did not {what} within {seconds} s; its log says: {log}")]
    Timeout {
        /// The server's name.
        server: &'static str,
        /// The action that was awaited.
        what: &'static str,
        /// The limit, in seconds.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A server ended while it was starting.
    #[error("{server} ended while starting; its log says: {log}")]
    Ended {
        /// The server's name.
        server: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A file or folder could not be read, written or given to another account.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The action that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system for that file or folder.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be signalled.
    #[error("cannot signal process {pid}")]
    Signal {
        /// The process id.
        pid: u32,
        /// The error of the operating system for that signal.
        #[source]
        source: nix::errno::Errno,
    },
    /// A downloaded file does not have the pinned checksum.
    #[error("{file}: the checksum is {found}, expected {expected}; the file was not used")]
    Checksum {
        /// The file.
        file: String,
        /// The actual checksum.
        found: String,
        /// The pinned checksum.
        expected: &'static str,
    },
    /// No version is pinned for this platform.
    #[error("no {server} is pinned for {platform}; install it: {hint}")]
    NoPin {
        /// The server's name.
        server: &'static str,
        /// The operating system and processor.
        platform: String,
        /// A command that installs the server.
        hint: String,
    },
    /// The packages of a server cannot be had here.
    #[error("{server} is missing, and there is no apt to fetch it; install it: {hint}")]
    NoPackages {
        /// The server's name.
        server: &'static str,
        /// A command that installs the server.
        hint: String,
    },
    /// No program was found that can download the server.
    #[error("{server} is missing, and so is pip, which could fetch it; install either: {hint}")]
    NoPip {
        /// The server's name.
        server: &'static str,
        /// A command that installs the server or pip.
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

/// Returns the last lines of a log, for an error message.
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
