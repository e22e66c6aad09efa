//! The in-memory key store, for tests of code that uses a key store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use uuid::Uuid;

use super::{LedgerEntry, StoredKey, SubjectKeyStore, WrappedKey};
use crate::error::KeyError;
use crate::event::{EventRef, Head};

/// A key store in memory.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: BTreeMap<Uuid, StoredKey>,
    ledger: BTreeMap<Uuid, LedgerEntry>,
    applied: EventRef,
    known_head: Option<Head>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            ledger: BTreeMap::new(),
            applied: EventRef::START,
            known_head: None,
        }
    }
}

impl MemoryKeys {
    /// Makes an empty key store.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is one insertion, so a panic leaves nothing half-done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SubjectKeyStore for MemoryKeys {
    async fn find(&self, subjects: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError> {
        let inner = self.inner();
        Ok(subjects.iter().map(|subject| inner.keys.get(subject).cloned()).collect())
    }

    async fn ensure(&self, keys: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError> {
        let mut inner = self.inner();
        let stored = keys.iter().map(|(subject, key)| {
            inner.keys.entry(*subject).or_insert_with(|| StoredKey::Wrapped(key.clone())).clone()
        });
        Ok(stored.collect())
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "replaces the database clock, which callers do not pass in either"
    )]
    async fn destroy(&self, subject: Uuid, requested_by: &str) -> Result<LedgerEntry, KeyError> {
        let mut inner = self.inner();
        inner.keys.insert(subject, StoredKey::Destroyed);
        let entry = inner.ledger.entry(subject).or_insert_with(|| LedgerEntry {
            subject,
            requested_by: requested_by.to_owned(),
            requested_at: Utc::now(),
            erased_at: None,
            reservations_released: 0,
        });
        Ok(entry.clone())
    }

    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        reservations_released: i64,
    ) -> Result<(), KeyError> {
        if let Some(entry) = self.inner().ledger.get_mut(&subject) {
            entry.erased_at = Some(erased_at);
            entry.reservations_released += reservations_released;
        }
        Ok(())
    }

    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError> {
        Ok(self.inner().ledger.get(&subject).cloned())
    }

    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError> {
        let inner = self.inner();
        Ok(inner
            .ledger
            .values()
            .filter(|entry| entry.subject > after)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn applied(&self) -> Result<EventRef, KeyError> {
        Ok(self.inner().applied)
    }

    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError> {
        self.inner().applied = mark;
        Ok(())
    }

    async fn known_head(&self) -> Result<Option<Head>, KeyError> {
        Ok(self.inner().known_head)
    }

    async fn set_known_head(&self, head: Head) -> Result<(), KeyError> {
        let known = &mut self.inner().known_head;
        let newer = known.is_none_or(|known| {
            known.epoch != head.epoch || known.mark.position < head.mark.position
        });
        if newer && head.mark != EventRef::START {
            *known = Some(head);
        }
        Ok(())
    }

    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError> {
        let inner = self.inner();
        let others = inner.keys.iter().filter_map(|(subject, stored)| match stored {
            StoredKey::Wrapped(key) if key.master != master => Some((*subject, key.clone())),
            StoredKey::Wrapped(_) | StoredKey::Destroyed => None,
        });
        Ok(others.take(limit as usize).collect())
    }

    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError> {
        let mut inner = self.inner();
        let mut rewrapped = 0;
        for (subject, old, new) in keys {
            if let Some(stored) =
                inner.keys.get_mut(&subject).filter(|stored| **stored == StoredKey::Wrapped(old))
            {
                *stored = StoredKey::Wrapped(new);
                rewrapped += 1;
            }
        }
        Ok(rewrapped)
    }
}
