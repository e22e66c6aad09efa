//! The file of the state: one entry per line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::simulation::state::{Entry, State};

/// The maximum number of entries. Beyond it, nothing more is done until the file is removed.
const MAX_ENTRIES: usize = 5_000_000;

/// The open journal. While it is open, no other process can open it.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    entries: usize,
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("the file {path} cannot be used", path = .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// Another process uses the file.
    #[error("another sandbox uses the file {path}", path = .0.display())]
    InUse(PathBuf),
    /// A line is no entry.
    #[error("line {1} of {path} is not an entry", path = .0.display())]
    Entry(PathBuf, usize, #[source] serde_json::Error),
    /// The file has too many entries.
    #[error("the file {path} has {MAX_ENTRIES} entries: remove it", path = .0.display())]
    Full(PathBuf),
}

impl Journal {
    /// Opens the journal at a path, and folds its entries. A last line that was not written to its
    /// end is removed: nobody got an answer to it.
    pub(crate) fn open(path: &Path) -> Result<(Self, State), JournalError> {
        let failed = |source| JournalError::File(path.to_owned(), source);
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            std::fs::TryLockError::Error(source) => failed(source),
        })?;
        let (mut state, mut entries, mut length) = (State::default(), 0, 0_u64);
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            entries += 1;
            let entry = serde_json::from_slice(&line);
            let entry =
                entry.map_err(|source| JournalError::Entry(path.to_owned(), entries, source))?;
            state.apply(&entry);
            length += line.len() as u64;
            line.clear();
        }
        file.set_len(length).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((Self { path: path.to_owned(), file, entries }, state))
    }

    /// Appends an entry as one line.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        if self.entries >= MAX_ENTRIES {
            return Err(JournalError::Full(self.path.clone()));
        }
        let failed = |source| JournalError::File(self.path.clone(), source);
        let mut line = serde_json::to_vec(entry).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One write: a process that is killed leaves a whole line or none, or a part that the next
        // one removes.
        self.file.write_all(&line).map_err(failed)?;
        self.entries += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn asked(key: &str) -> Entry {
        Entry::Asked { key: key.to_owned(), operation: "capture".to_owned() }
    }

    #[test]
    fn the_state_is_what_the_file_says_without_a_line_that_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&asked("a")).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        drop(journal);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"asked\":{\"key\":\"b\"").unwrap();
        let (mut journal, state) = Journal::open(&path).unwrap();
        assert_eq!(state.counts().keys.len(), 1);
        journal.append(&asked("a")).unwrap();
        drop(journal);
        let (_, state) = Journal::open(&path).unwrap();
        assert_eq!(state.counts().keys["a"].requests, 2);
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Entry(_, 1, _))));
    }
}
