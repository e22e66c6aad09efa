//! Personal data in events: encrypted under a key of its subject, and erased by destroying that
//! key.
//!
//! A field is personal when its JSON is `{"$subject": <uuid>, "$personal": <value>}`; the three
//! names `$subject`, `$personal` and `$sealed` are reserved for this. What stands in the log, and
//! so in every copy of it, is `{"$subject": <uuid>, "$sealed": <text>}`; what a reader gets is the
//! value, or `"$personal": null` once the subject is erased.
//!
//! - [`Vault`] encrypts and reveals fields; it is the only thing that does, and [`EncryptingStore`]
//!   puts it in front of a store.
//! - [`SubjectKeyStore`] keeps one key a subject, wrapped by a [`MasterKeys`], in a store of its
//!   own, never in the log's.
//! - [`erase`] erases a subject: ledger and key first, then `subject.erased` and the reservations,
//!   each step as often as it takes.
//! - [`reconcile`] applies the ledger to a restored log and a restored key store to the log; run it
//!   before serving.
//!
//! States of streams that a [`StateLoader`](crate::StateLoader) holds in memory or keeps as
//! snapshots are within reach too, whatever they make of a value: it knows whose values could be
//! read in the events that a state was worked out from.
//!
//! That a key is *destroyed* is a fact of the key store, which keeps a tombstone: only then is a
//! value `erased`. That the key store is away, that it does not know the subject, or that no master
//! key fits, are errors: a value is never given up by mistake.
//!
//! The consequences, and why:
//! - The log, its backups, the relay and JetStream carry ciphertext only (AES-256-GCM-SIV, bound
//!   to stream, event and field), so destroying one key reaches every copy.
//! - The keys and the ledger of erasures live in a database of their own, wrapped by a master key:
//!   a backup of the log alone reveals nothing.
//! - The append functions accept nothing of a subject after its `subject.erased`, and a projection
//!   blanks the subject's fields when it reads that event. So the log means the same whenever it
//!   is read, and a rebuilt read model equals the live one (promise P7).

mod cache;
mod encrypting_store;
mod envelope;
mod erase;
pub mod keys;
mod marked;
mod master;
mod proof;
mod reconcile;
pub(crate) mod vault;

pub use encrypting_store::EncryptingStore;
pub use erase::{
    EraseError, EraseRequest, MAX_BY_LEN, SUBJECT_ERASED, SUBJECT_ERASED_VERSION, erase,
    erased_subject, subject_stream,
};
pub use keys::{
    KeyError, LedgerEntry, MemoryKeys, PostgresKeys, StoredKey, SubjectKeyStore, WrappedKey,
};
pub use master::{InvalidMasterKey, LocalMasterKeys, MasterKeys, SubjectKey, rotate};
pub use proof::{Proof, Search, is_known, prove};
pub use reconcile::{Reconciled, is_settled, reconcile};
pub use vault::{Unreadable, Vault, VaultOptions};
