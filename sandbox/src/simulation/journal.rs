//! The file of the state: one entry per line.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::simulation::state::{Entry, State};

/// The maximum number of entries. Beyond it, nothing more is done until the file is removed.
const MAX_ENTRIES: usize = 5_000_000;

/// The open journal. While it is open, no other process can open it.
#[derive(Debug)]
pub(crate) struct Journal<M = File> {
    path: PathBuf,
    medium: M,
    entries: usize,
    /// The length of all whole lines, in bytes.
    length: u64,
    /// Whether a part of a line may follow them.
    is_broken: bool,
}

/// What a journal is written to.
pub(crate) trait Medium: fmt::Debug {
    /// Writes bytes to the end. After an error, a part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Removes everything after this number of bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("the file {path} cannot be used", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A part of an entry was written, and could not be removed. The next process that opens the
    /// file removes it.
    #[error("the file {path} ends with a part of an entry: start the sandbox again",
        path = .0.display())]
    Broken(PathBuf),
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

impl Journal<File> {
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
        let path = path.to_owned();
        Ok((Self { path, medium: file, entries, length, is_broken: false }, state))
    }
}

impl<M: Medium> Journal<M> {
    /// Appends an entry as one line, or nothing.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        if self.is_broken {
            return Err(JournalError::Broken(self.path.clone()));
        }
        if self.entries >= MAX_ENTRIES {
            return Err(JournalError::Full(self.path.clone()));
        }
        let failed = |source| JournalError::File(self.path.clone(), source);
        let mut line = serde_json::to_vec(entry).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One write: a process that is killed leaves a whole line or none, or a part that the next
        // one removes.
        if let Err(error) = self.medium.append(&line) {
            // The next entry must not continue what was written of this one.
            self.is_broken = self.medium.cut(self.length).is_err();
            return Err(failed(error));
        }
        self.length += line.len() as u64;
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

    /// A disk with little room.
    #[derive(Debug)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        can_cut: bool,
    }

    impl Medium for Disk {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let fits = bytes.len().min(self.room - self.bytes.len());
            self.bytes.extend_from_slice(&bytes[..fits]);
            let full = || Err(io::ErrorKind::StorageFull.into());
            if fits == bytes.len() { Ok(()) } else { full() }
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if !self.can_cut {
                return Err(io::ErrorKind::Other.into());
            }
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    /// A journal with an entry, and room for a part of another one.
    fn nearly_full(can_cut: bool) -> Journal<Disk> {
        let room = serde_json::to_vec(&asked("a")).unwrap().len() + 9;
        let medium = Disk { bytes: Vec::new(), room, can_cut };
        let path = PathBuf::from("journal");
        let mut journal = Journal { path, medium, entries: 0, length: 0, is_broken: false };
        journal.append(&asked("a")).unwrap();
        journal
    }

    #[test]
    fn an_entry_that_does_not_fit_leaves_nothing_and_the_next_one_is_whole() {
        let mut journal = nearly_full(true);
        let whole = journal.medium.bytes.clone();
        assert!(matches!(journal.append(&asked("b")), Err(JournalError::File(..))));
        assert_eq!(journal.medium.bytes, whole);
        journal.medium.room = 1_000;
        journal.append(&asked("a")).unwrap();
        assert_eq!(journal.medium.bytes, whole.repeat(2));
        assert_eq!((journal.entries, journal.length), (2, 2 * whole.len() as u64));
    }

    #[test]
    fn nothing_follows_a_part_of_an_entry_that_could_not_be_removed() {
        let mut journal = nearly_full(false);
        assert!(matches!(journal.append(&asked("b")), Err(JournalError::File(..))));
        journal.medium.room = 1_000;
        let written = journal.medium.bytes.len();
        let next = journal.append(&asked("c")).unwrap_err();
        assert!(matches!(next, JournalError::Broken(_)), "{next}");
        assert_eq!(journal.medium.bytes.len(), written);
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
