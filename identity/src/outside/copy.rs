//! The copy of an outside issuer's keys on disk.

use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::source::MAX_DOCUMENT;
use crate::copy::{self, OUTSIDE_KEYS};

/// The maximum length of a copy, in bytes: the keys, with what is noted about them.
const MAX_COPY: usize = MAX_DOCUMENT + 4_096;

/// Where the copy is.
#[derive(Debug)]
pub(super) struct Copies {
    folder: Option<PathBuf>,
}

/// What is kept. It names the issuer, because the setting may name another one at the next start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The issuer of the keys.
    pub(super) issuer: String,
    /// When they were fetched, in seconds since 1970 in UTC.
    pub(super) fetched_at: i64,
    /// The JWK set, as the issuer sent it.
    pub(super) keys: Box<RawValue>,
}

impl Copies {
    pub(super) const fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// Reads the copy of this issuer's keys, if there is one that was fetched before `now`.
    pub(super) fn read(&self, issuer: &str, now: i64) -> Option<Kept> {
        let path = self.folder.as_ref()?.join(OUTSIDE_KEYS);
        let read = || {
            let mut text = Vec::new();
            let file = std::fs::File::open(&path)?;
            file.take(MAX_COPY as u64).read_to_end(&mut text)?;
            Ok::<Kept, std::io::Error>(serde_json::from_slice(&text)?)
        };
        match read() {
            Ok(kept) => Some(kept).filter(|kept| kept.issuer == issuer && kept.fetched_at <= now),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a copy is unusable");
                None
            }
        }
    }

    /// Writes the copy. If that fails, the process goes on, but cannot start while the issuer is
    /// away.
    pub(super) fn write(&self, issuer: &str, fetched_at: i64, keys: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let write = || {
            let keys = serde_json::from_slice(keys)?;
            let kept = Kept { issuer: issuer.to_owned(), fetched_at, keys };
            copy::write(folder, OUTSIDE_KEYS, &serde_json::to_vec(&kept)?)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, folder = %folder.display(), "a copy could not be written");
        }
    }
}
