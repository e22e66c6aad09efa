//! The encryption of personal data in events, under a key of its subject. Destroying that key
//! erases it; see [`erasure`](crate::erasure).
//!
//! A field is personal when its JSON is `{"$subject": <uuid>, "$personal": <value>}`. The names
//! `$subject`, `$personal` and `$sealed` are reserved. The log, and so every copy of it, holds
//! `{"$subject": <uuid>, "$sealed": <text>}`. A reader gets the value, or `"$personal": null` once
//! the subject is erased.
//!
//! - [`Vault`] is the only type that encrypts and reveals fields.
//!   [`EncryptingStore`](crate::EncryptingStore) puts it in front of a store.
//! - [`SubjectKeyStore`] keeps one key per subject, wrapped by [`MasterKeys`]. It is separate from
//!   the log's database.
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

mod blank;
mod cache;
mod envelope;
pub(crate) mod keys;
pub(crate) mod marked;
mod master;
pub(crate) mod vault;

pub use blank::{blanked, subjects_in};
pub use keys::{LedgerEntry, MemoryKeys, StoredKey, SubjectKeyStore, WrappedKey};
pub use master::{InvalidMasterKey, LocalMasterKeys, MasterKeys, SubjectKey, check, rotate};
pub use vault::{Unreadable, Vault, VaultOptions};
