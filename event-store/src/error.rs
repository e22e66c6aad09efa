//! The errors of the store. Refusals are not errors; see [`crate::Refusal`].

use std::sync::Arc;

use uuid::Uuid;

/// A name with an invalid length or character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}")]
pub struct InvalidName {
    kind: &'static str,
    text: String,
}

impl InvalidName {
    const MAX_SHOWN: usize = 80;

    pub(crate) fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.chars().take(Self::MAX_SHOWN).collect() }
    }
}

/// The reason why a call to the store gave no outcome.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The append breaks a limit or a rule, whatever the log holds. Nothing was sent.
    #[error("invalid append: {0}")]
    Invalid(String),
    /// The store cannot take the call now. Nothing was appended. Try again later.
    #[error("the event store is not available")]
    Unavailable(#[source] Option<sqlx::Error>),
    /// The outcome of the append is unknown. A repeat with the same idempotency key is safe.
    #[error("the event store gave no answer in time")]
    OutcomeUnknown(#[source] Option<sqlx::Error>),
    /// This program cannot work with the log: the schema is unknown or a promise is broken.
    #[error("the event store cannot be used: {0}")]
    Unusable(String),
    /// The server can lose acknowledged data because of the setting that the text names. Nothing
    /// was appended. The store resumes by itself once the setting is corrected.
    #[error("the event store's server is not safe to append to: {0}")]
    Unsafe(String),
    /// The keys of personal data are not available. Nothing was appended. Nothing was read either,
    /// so no unreadable value is mistaken for an erased one.
    #[error("the keys of personal data are not available")]
    Keys(#[from] KeyError),
    /// The log has another history than this process has read and written. A copy was restored, or
    /// a standby was promoted with commits missing. The text names the command that resolves this;
    /// the store then resumes by itself.
    #[error("the event store has another history: {0}")]
    OtherHistory(String),
    /// Any other error from Postgres.
    #[error("the event store failed")]
    Database(#[source] sqlx::Error),
}

/// The reason why keys are not available. It never means that a value is erased.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The key store, or the service that wraps its keys, does not answer now. Try again later.
    #[error("the store of subject keys is not available")]
    Unavailable(#[source] Option<Arc<sqlx::Error>>),
    /// This program cannot work with the key store.
    #[error("the store of subject keys cannot be used: {0}")]
    Unusable(String),
    /// A key is wrapped by a master key that this process does not have, or was changed.
    #[error("no available master key can unwrap the key of a subject")]
    MasterKey,
    /// None of the stored keys opens with the master keys of this process: they belong to another
    /// deployment.
    #[error(
        "the master keys open none of the stored keys of subjects: they are those of another \
            deployment; nothing was written"
    )]
    ForeignMasterKey,
    /// A value is encrypted under a key that the key store does not know. The store belongs to
    /// another log, or was restored from a backup older than the key. If the value is lost for
    /// good, erase its subject.
    #[error(
        "the store of subject keys does not know subject {0}: the store belongs to another log, \
            or was restored from an older backup"
    )]
    UnknownSubject(Uuid),
    /// Any other error from Postgres.
    #[error("the store of subject keys failed")]
    Database(#[source] Arc<sqlx::Error>),
}

impl KeyError {
    /// Whether a retry may succeed without intervention.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
