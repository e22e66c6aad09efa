//! The vault: the only code that encrypts and reveals personal fields.
//!
//! Keys are fetched in batches. One statement covers the new subjects of all concurrent appends,
//! another one those of a page of events. [`super::cache`] describes how keys are cached. A reader
//! of a subject's `subject.erased` sees none of its values from that page on, whatever the key
//! store says. The key was destroyed before that event was appended, so a process that fetches it
//! again gets the same answer.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use uuid::Uuid;

use super::cache::{Cache, Known};
use super::keys::{StoredKey, SubjectKeyStore};
use super::marked::{self, Content};
use super::master::{MasterKeys, SubjectKey};
use crate::append::{Append, Refusal};
use crate::error::{KeyError, StoreError};
use crate::event::{Position, RecordedEvent};
use crate::pulse::Task;
use crate::subject::erased_subject;

mod fields;
pub(crate) mod held;
mod waiting;

use fields::{DoesNotRead, encrypted, readable, revealed, subjects_of};
use held::HoldsValues;
use waiting::Waiting;

/// The maximum number of subjects to fetch in one statement.
const MAX_BATCH: usize = 1_000;
/// The number of events of a long page after which other tasks may run.
const YIELD_EVERY: usize = 256;

/// The limits of a vault.
#[derive(Debug, Clone, Copy)]
pub struct VaultOptions {
    /// The maximum number of subjects whose keys are cached.
    pub cached_keys: usize,
    /// The maximum time that a key is used without asking the key store again. It bounds how long a
    /// process that has not learned of an erasure can still read.
    pub key_lifetime: Duration,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self { cached_keys: 100_000, key_lifetime: Duration::from_mins(1) }
    }
}

/// An event with a field that cannot be decrypted, or with a reserved name in a wrong place. It
/// stays as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub Position);

/// Encrypts and reveals personal fields. It is shared as an `Arc`.
pub struct Vault {
    shared: Arc<Shared>,
    waiting: Waiting,
}

struct Shared {
    keys: Arc<dyn SubjectKeyStore>,
    master: Arc<dyn MasterKeys>,
    cache: Mutex<Cache>,
    /// The holders of revealed values.
    holders: Mutex<Vec<Weak<dyn HoldsValues>>>,
}

impl Vault {
    /// Makes a vault over these keys. Call it inside a tokio runtime: it starts a task that ends
    /// when the vault is dropped.
    pub fn new(
        keys: Arc<dyn SubjectKeyStore>,
        master: Arc<dyn MasterKeys>,
        options: VaultOptions,
    ) -> Arc<Self> {
        let cache = Mutex::new(Cache::new(options.cached_keys, options.key_lifetime));
        let shared = Arc::new(Shared { keys, master, cache, holders: Mutex::default() });
        let waiting = Waiting::start(Arc::clone(&shared));
        Arc::new(Self { shared, waiting })
    }

    /// The task that makes the keys of new subjects.
    pub fn task(&self) -> Task {
        self.waiting.task()
    }

    /// The key store of this vault.
    pub fn keys(&self) -> &Arc<dyn SubjectKeyStore> {
        &self.shared.keys
    }

    /// Encrypts every readable personal field of the append. Subjects without a key get one.
    /// Returns a refusal if a subject is erased. The append itself names every subject, so the log
    /// notices later erasures.
    ///
    /// # Errors
    /// [`StoreError::Keys`] when the keys are not available, [`StoreError::Invalid`] when a
    /// reserved name is in a wrong place.
    pub async fn encrypt(&self, append: &mut Append) -> Result<Option<Refusal>, StoreError> {
        let found = readable(append)?;
        let subjects = subjects_of(&found);
        if subjects.is_empty() {
            return Ok(None);
        }
        let known = self.keys_to_encrypt_with(subjects.clone()).await?;
        if let Some((subject, _)) = known.iter().find(|(_, known)| matches!(known, Known::Erased)) {
            return Ok(Some(Refusal::SubjectErased { subject: *subject }));
        }
        let mut encrypted = found
            .iter()
            .map(|found| encrypted(found, &known))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        for event in append.streams.iter_mut().flat_map(|stream| &mut stream.events) {
            if let Some(data) = encrypted.next().flatten() {
                event.data = data;
            }
        }
        append.subjects.extend(subjects);
        Ok(None)
    }

    /// Returns an erased subject of the append, for which [`Vault::encrypt`] would refuse it. No
    /// key is made.
    ///
    /// # Errors
    /// The same as for [`Vault::encrypt`].
    pub async fn erased_among(&self, append: &Append) -> Result<Option<Uuid>, StoreError> {
        let (known, missing) = self.shared.at_hand(&Self::subjects_of(append)?);
        if let Some((subject, _)) =
            known.into_iter().find(|(_, known)| matches!(known, Known::Erased))
        {
            return Ok(Some(subject));
        }
        for page in missing.chunks(MAX_BATCH) {
            // A subject without a key is new.
            let found = self.waiting.patiently(self.shared.keys.find(page)).await?;
            let mut stored = page.iter().zip(found);
            if let Some((subject, _)) =
                stored.find(|(_, stored)| matches!(stored, Some(StoredKey::Destroyed)))
            {
                return Ok(Some(*subject));
            }
        }
        Ok(None)
    }

    /// Returns the subjects whose readable values are in the append, each once.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a reserved name is in a wrong place.
    pub(crate) fn subjects_of(append: &Append) -> Result<Vec<Uuid>, StoreError> {
        Ok(subjects_of(&readable(append)?))
    }

    /// Decrypts the personal fields of these events, to `null` if the subject is erased. The events
    /// are in log order, or in any order if they are of one stream. Unreadable events stay
    /// unchanged and are returned.
    ///
    /// # Errors
    /// [`KeyError`] when the keys are not available. Nothing was changed, and the call can be
    /// repeated.
    pub async fn reveal(&self, events: &mut [RecordedEvent]) -> Result<Vec<Unreadable>, KeyError> {
        let mut subjects = HashSet::new();
        for event in events.iter() {
            if let Some(subject) = erased_subject(event) {
                self.forget(subject);
            }
            let fields = marked::fields(event.data.get()).unwrap_or_default();
            subjects.extend(
                fields
                    .iter()
                    .filter(|field| matches!(field.content, Content::Encrypted(_)))
                    .map(|field| field.subject),
            );
        }
        let known = self.keys_to_reveal(subjects.into_iter().collect()).await?;
        let mut unreadable = Vec::new();
        for (at, event) in events.iter_mut().enumerate() {
            match revealed(event, &known) {
                Ok(None) => {}
                Ok(Some(data)) => event.data = data,
                Err(DoesNotRead) => unreadable.push(Unreadable(event.position)),
            }
            if at % YIELD_EVERY == YIELD_EVERY - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(unreadable)
    }

    /// Marks the subject as erased. Its key and all states with its values leave memory at once,
    /// and the key is never fetched again.
    pub fn forget(&self, subject: Uuid) {
        // This comes first: a load that caches a state at the same time looks here after it has
        // done so.
        self.shared.cache().erase(subject);
        self.shared.tell_erased([subject]);
    }

    /// Drops all cached keys. They are fetched again when needed.
    pub fn forget_all(&self) {
        self.shared.cache().clear();
        self.shared.tell_all();
    }

    async fn keys_to_encrypt_with(
        &self,
        subjects: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Known>, KeyError> {
        let (mut known, missing) = self.shared.at_hand(&subjects);
        if !missing.is_empty() {
            self.waiting.make(missing.clone()).await?;
            let (more, still_missing) = self.shared.at_hand(&missing);
            known.extend(more);
            // Other entries evicted these from a small cache, or they could not be unwrapped.
            known.extend(self.waiting.patiently(self.shared.fetch(&still_missing)).await?);
        }
        Ok(known)
    }

    async fn keys_to_reveal(&self, subjects: Vec<Uuid>) -> Result<HashMap<Uuid, Known>, KeyError> {
        let (mut known, missing) = self.shared.at_hand(&subjects);
        for page in missing.chunks(MAX_BATCH) {
            known.extend(self.waiting.patiently(self.shared.fetch(page)).await?);
        }
        Ok(known)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        // Every change to the cache is complete or absent, so a panic elsewhere does not damage it.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cached knowledge about these subjects, and the subjects without any.
    fn at_hand(&self, subjects: &[Uuid]) -> (HashMap<Uuid, Known>, Vec<Uuid>) {
        let (mut known, mut missing) = (HashMap::with_capacity(subjects.len()), Vec::new());
        let mut cache = self.cache();
        for subject in subjects {
            match cache.get(*subject) {
                Some(found) => drop(known.insert(*subject, found)),
                None => missing.push(*subject),
            }
        }
        (known, missing)
    }

    async fn fetch(&self, subjects: &[Uuid]) -> Result<Vec<(Uuid, Known)>, KeyError> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.keys.find(subjects).await?;
        let stored = subjects.iter().zip(found).map(|(subject, found)| {
            Ok((*subject, found.ok_or(KeyError::UnknownSubject(*subject))?))
        });
        self.opened(stored.collect::<Result<_, KeyError>>()?).await
    }

    /// Makes a key for each of these subjects that has none.
    async fn ensure(&self, subjects: &[Uuid]) -> Result<(), KeyError> {
        let fresh: Vec<(Uuid, SubjectKey)> =
            subjects.iter().map(|subject| (*subject, SubjectKey::random())).collect();
        let wrapped = self.master.wrap(&fresh).await?;
        let candidates: Vec<_> = subjects.iter().copied().zip(wrapped).collect();
        let stored = self.keys.ensure(&candidates).await?;
        let mut others = Vec::new();
        for (((subject, key), (_, candidate)), stored) in
            fresh.into_iter().zip(candidates).zip(stored)
        {
            // A key of this process needs no unwrapping.
            if stored == StoredKey::Wrapped(candidate) {
                self.cache().put(subject, Known::Key(key));
            } else {
                others.push((subject, stored));
            }
        }
        if let Err(error) = self.opened(others).await {
            // A caller that needs a failed key fetches it again and gets the error. The other
            // callers of the batch get their keys.
            tracing::debug!(%error, "a key of the batch cannot be unwrapped");
        }
        Ok(())
    }

    /// Unwraps stored keys and caches them.
    async fn opened(&self, stored: Vec<(Uuid, StoredKey)>) -> Result<Vec<(Uuid, Known)>, KeyError> {
        let (mut known, mut wrapped) = (Vec::with_capacity(stored.len()), Vec::new());
        for (subject, stored) in stored {
            match stored {
                StoredKey::Wrapped(key) => wrapped.push((subject, key)),
                StoredKey::Destroyed => known.push((subject, Known::Erased)),
            }
        }
        let erased: Vec<Uuid> = known.iter().map(|(subject, _)| *subject).collect();
        let keys = self.master.unwrap(&wrapped).await?;
        known.extend(
            wrapped.into_iter().zip(keys).map(|((subject, _), key)| (subject, Known::Key(key))),
        );
        self.remember(&mut known);
        self.tell_erased(erased);
        Ok(known)
    }

    /// Caches these answers, except for subjects that the log meanwhile reported as erased.
    fn remember(&self, known: &mut [(Uuid, Known)]) {
        let mut cache = self.cache();
        for (subject, found) in known {
            cache.put(*subject, found.clone());
            if matches!(cache.get(*subject), Some(Known::Erased)) {
                *found = Known::Erased;
            }
        }
    }
}
