//! The folder of the processes' logs. If a benchmark fails, its report has their last lines.

use std::path::Path;

/// The number of lines of each log that a failed benchmark prints.
const LINES: usize = 20;

/// A temporary folder with one log per process.
pub(super) struct Logs {
    folder: tempfile::TempDir,
    is_success: bool,
}

impl Logs {
    /// Creates an empty folder.
    pub(super) fn create() -> std::io::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, is_success: false })
    }

    /// The path of the folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes the folder without a report, because the benchmark has succeeded.
    pub(super) fn succeed(mut self) {
        self.is_success = true;
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if self.is_success {
            return;
        }
        let Ok(entries) = std::fs::read_dir(self.path()) else { return };
        for entry in entries.flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
            // The folder holds the public keys, too, which are no log.
            if entry.path().extension().is_none() && !last.is_empty() {
                eprintln!("the log of {}:\n{}", entry.file_name().display(), last.join("\n"));
            }
        }
    }
}
