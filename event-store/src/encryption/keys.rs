//! The interface of the key store. It holds one wrapped key per subject, a tombstone for each
//! destroyed key, and the ledger of erasures. The Postgres and in-memory versions pass the same
//! contract tests.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::KeyError;
use crate::event::{EventRef, Head};

mod memory;

pub use memory::MemoryKeys;

/// A subject's key, encrypted under a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The name of the master key.
    pub master: String,
    /// The encrypted key.
    pub bytes: Vec<u8>,
}

/// The key store's entry for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredKey {
    /// The subject's key, encrypted under a master key.
    Wrapped(WrappedKey),
    /// The subject was erased: its key is gone, and it never gets another.
    Destroyed,
}

/// A ledger entry: an erasure and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The subject: the person whose data it is.
    pub subject: Uuid,
    /// The requester, as an opaque id.
    pub requested_by: String,
    /// The time when the key was destroyed, by the key store's clock.
    pub requested_at: DateTime<Utc>,
    /// The position of `subject.erased`; `None` until it is appended.
    pub erased_at: Option<EventRef>,
    /// The number of reservations released by the erasure and since.
    pub reservations_released: i64,
}

/// A store of subject keys and of the ledger of erasures.
#[async_trait]
pub trait SubjectKeyStore: Send + Sync + 'static {
    /// Returns the entry of each subject, in order; `None` for a subject that never had a key.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn find(&self, subjects: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError>;

    /// Stores each key unless its subject has or had one. Returns the entries then stored, in
    /// order; they are durable.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn ensure(&self, keys: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError>;

    /// Destroys a subject's key, leaves a tombstone and writes the ledger, all or nothing. An
    /// existing ledger entry stays.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn destroy(&self, subject: Uuid, requested_by: &str) -> Result<LedgerEntry, KeyError>;

    /// Records in the ledger the position of `subject.erased` and the number of further released
    /// reservations.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        reservations_released: i64,
    ) -> Result<(), KeyError>;

    /// Returns the subject's ledger entry.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError>;

    /// Returns up to `limit` ledger entries of subjects above `after`, ascending by subject.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError>;

    /// Returns the event of the log up to which every `subject.erased` was applied to these keys.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn applied(&self) -> Result<EventRef, KeyError>;

    /// Sets [`SubjectKeyStore::applied`].
    ///
    /// # Errors
    /// [`KeyError`].
    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError>;

    /// Returns the newest recorded head of the log, with its epoch; `None` before the first. A log
    /// without that event has lost commits; see
    /// [`PostgresOptions::known_head`](crate::PostgresOptions::known_head).
    ///
    /// # Errors
    /// [`KeyError`].
    async fn known_head(&self) -> Result<Option<Head>, KeyError>;

    /// Records the newest head of the log, for processes that start later. Within one epoch it
    /// never goes back.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn set_known_head(&self, head: Head) -> Result<(), KeyError>;

    /// Returns up to `limit` keys that are wrapped by a master key other than this one.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError>;

    /// Replaces each subject's old wrapped key by the new one if the old one is still stored.
    /// Returns the number of replaced keys.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError>;
}
