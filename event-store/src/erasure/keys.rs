//! The store of subject keys, as the rest of the crate sees it: one wrapped key a subject, a
//! tombstone where it was destroyed, and the ledger of erasures next to them. Postgres and memory
//! stand behind it and pass the same contract.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::EventRef;
use crate::store::Head;

mod memory;
mod postgres;

pub use memory::MemoryKeys;
pub use postgres::{PostgresKeys, migrate, schema_fingerprint};

/// Why the keys cannot be had. Never means that a value is erased.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The store of keys, or what wraps them, gives no answer now. Try again later.
    #[error("the store of subject keys is not available")]
    Unavailable(#[source] Option<Arc<sqlx::Error>>),
    /// The store of keys is not what this program can work with.
    #[error("the store of subject keys cannot be used: {0}")]
    Unusable(String),
    /// A key is wrapped by a master key that is not at hand, or was changed.
    #[error("no master key at hand opens the key of a subject")]
    MasterKey,
    /// A value is encrypted under a key that the store of keys never had: it is another one than
    /// this log's, or was restored from a backup that is older than the key. A value that is lost
    /// for good is given up by erasing its subject.
    #[error(
        "the store of subject keys does not know subject {0}: it is not this log's, or was \
            restored from an older backup"
    )]
    UnknownSubject(Uuid),
    /// Anything else that Postgres said.
    #[error("the store of subject keys failed")]
    Database(#[source] Arc<sqlx::Error>),
}

impl KeyError {
    /// Whether trying again may help without anybody's doing.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A subject's key under a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The name of the master key.
    pub master: String,
    /// What it made of the key.
    pub bytes: Vec<u8>,
}

/// What the store has for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredKey {
    /// The subject's key, encrypted under a master key.
    Wrapped(WrappedKey),
    /// It had been erased: there is no key, and never will be.
    Destroyed,
}

/// One line of the ledger: an erasure, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The subject: the person whose data it is.
    pub subject: Uuid,
    /// Who asked for it: an opaque id.
    pub requested_by: String,
    /// When the key was destroyed, by the clock of the key store.
    pub requested_at: DateTime<Utc>,
    /// Where `subject.erased` stands; `None` until it is appended.
    pub erased_at: Option<EventRef>,
    /// How many reservations were released with it and since.
    pub reservations_released: i64,
}

/// Keeps the keys of subjects and the ledger of erasures.
#[async_trait]
pub trait SubjectKeyStore: Send + Sync + 'static {
    /// What is stored for each subject, in their order; `None` for one that never had a key.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn find(&self, subjects: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError>;

    /// Stores each key unless its subject has one or had one; answers what is then stored for each,
    /// in their order. Durable once it answers.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn ensure(&self, keys: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError>;

    /// Destroys a subject's key, leaves a tombstone and writes the ledger: all or nothing. The
    /// first request's entry stays.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn destroy(&self, subject: Uuid, requested_by: &str) -> Result<LedgerEntry, KeyError>;

    /// Notes in the ledger where `subject.erased` stands, and how many more reservations were
    /// released.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        reservations_released: i64,
    ) -> Result<(), KeyError>;

    /// The subject's line of the ledger.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError>;

    /// Up to `limit` lines of the ledger, of subjects above `after`, ascending by subject.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError>;

    /// Up to which event of the log every `subject.erased` has been applied to these keys.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn applied(&self) -> Result<EventRef, KeyError>;

    /// Moves [`SubjectKeyStore::applied`].
    ///
    /// # Errors
    /// [`KeyError`].
    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError>;

    /// The newest event of the log that was noted here, and in which history: `None` before the
    /// first. A log that does not have it has lost commits; see
    /// [`PostgresOptions::known_head`](crate::PostgresOptions::known_head).
    ///
    /// # Errors
    /// [`KeyError`].
    async fn known_head(&self) -> Result<Option<Head>, KeyError>;

    /// Notes the newest event of the log, for whoever starts later. Within one history it never
    /// goes back.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn set_known_head(&self, head: Head) -> Result<(), KeyError>;

    /// Up to `limit` keys that another master key than this wraps.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError>;

    /// Replaces each subject's old wrapped key by the new one where the old one still stands; says
    /// how many it replaced.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError>;
}
