//! Personal data in events, encrypted under a key of its subject. Destroying that key erases it.
//!
//! A field is personal when its JSON is `{"$subject": <uuid>, "$personal": <value>}`. The names
//! `$subject`, `$personal` and `$sealed` are reserved. The log, and so every copy of it, holds
//! `{"$subject": <uuid>, "$sealed": <text>}`. A reader gets the value, or `"$personal": null` once
//! the subject is erased.
//!
//! - [`Vault`] is the only type that encrypts and reveals fields. [`EncryptingStore`] puts it in
//!   front of a store.
//! - [`SubjectKeyStore`] keeps one key per subject, wrapped by [`MasterKeys`]. It is separate from
//!   the log's database.
//! - [`erase`] erases a subject: first ledger and key, then `subject.erased` and the reservations.
//!   Every step can be repeated.
//! - [`reconcile`] applies the ledger to a restored log, and the log to a restored key store. Run
//!   it before serving.
//!
//! A [`StateLoader`](crate::StateLoader) holds states in memory and stores snapshots. An erasure
//! reaches these too, whatever a state makes of a value: the loader knows the subjects whose values
//! were readable in the events of a state.
//!
//! A *destroyed* key is a fact of the key store, which keeps a tombstone. Only then is a value
//! `erased`. An unreachable key store, an unknown subject and a missing master key are errors, so a
//! value is never given up by mistake.
//!
//! The consequences, and why:
//! - The log, its backups, the relay and JetStream carry only ciphertext (AES-256-GCM-SIV, bound to
//!   stream, event and field). Destroying one key therefore reaches every copy.
//! - The keys and the ledger of erasures are in a separate database, wrapped by a master key. A
//!   backup of the log alone reveals nothing.
//! - The append functions reject data of a subject after its `subject.erased`, and a projection
//!   blanks the subject's fields when it reads that event. The log therefore means the same
//!   whenever it is read, and a rebuilt read model equals the live one (promise P7).

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
