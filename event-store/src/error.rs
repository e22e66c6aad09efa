//! What can go wrong, as opposed to what can be refused (that is [`crate::Refusal`]).

use crate::erasure::KeyError;

/// A name with a character or a length that it may not have.
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

/// Why a call to the store did not give an outcome.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The append itself breaks a limit or a rule, whatever the log holds. Nothing was sent.
    #[error("invalid append: {0}")]
    Invalid(String),
    /// The store cannot take the call now; nothing was appended. Try again later.
    #[error("the event store is not available")]
    Unavailable(#[source] Option<sqlx::Error>),
    /// Whether it was appended is not known. Repeating with the same idempotency key is safe.
    #[error("the event store gave no answer in time")]
    OutcomeUnknown(#[source] Option<sqlx::Error>),
    /// The log is not what this program can work with: a schema it does not know, a broken promise.
    #[error("the event store cannot be used: {0}")]
    Unusable(String),
    /// The server can lose what it acknowledges, by the setting that the text names. Nothing was
    /// appended. The store goes on by itself once the setting is put right.
    #[error("the event store's server is not safe to append to: {0}")]
    Unsafe(String),
    /// The keys of personal data cannot be had; nothing was appended, and nothing was read that
    /// could be taken for erased.
    #[error("the keys of personal data cannot be had")]
    Keys(#[from] KeyError),
    /// The log's history is another than this process has read and written: a copy was restored, or
    /// a standby promoted with commits missing. The text says which command goes on; the store then
    /// goes on by itself.
    #[error("the event store has another history: {0}")]
    OtherHistory(String),
    /// Anything else that Postgres said.
    #[error("the event store failed")]
    Database(#[source] sqlx::Error),
}
