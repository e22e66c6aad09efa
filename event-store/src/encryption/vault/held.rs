//! Revealed values that are held for later, such as in stream states. An erasure must reach them
//! too.
//!
//! In memory, every holder of values is notified at once of an erasure, and checks before it shows
//! any. On disk, a state is encrypted as a whole, under a key derived from the keys of all subjects
//! whose values are in it. Without any one of them it cannot be derived again.

use std::collections::BTreeMap;
use std::sync::{PoisonError, Weak};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Known, MAX_BATCH, Shared, Vault};
use crate::encryption::envelope::{self, Place};
use crate::encryption::keys::StoredKey;
use crate::encryption::marked::{self, Content};
use crate::encryption::master::SubjectKey;
use crate::error::KeyError;
use crate::event::{Epoch, EventRef};
use crate::stream::{StreamName, Version};

/// The maximum number of subjects in a state that may be cached or stored.
pub(crate) const MAX_SUBJECTS: usize = 64;
/// The start of every encrypted state. No other state starts so, since the name is reserved.
const BEGINS: &str = r#"{"$subjects":"#;

/// A holder of values that a vault revealed.
pub(crate) trait HoldsValues: Send + Sync {
    /// Drops at once everything with values of this subject, because it is erased.
    fn let_go_of(&self, subject: Uuid);

    /// Drops everything with personal values, because it is no longer known who is erased.
    fn let_go_of_all(&self);
}

/// The place of a stored state. It cannot be decrypted anywhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatePlace<'a> {
    pub(crate) stream: &'a StreamName,
    pub(crate) shape: i32,
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) last: EventRef,
}

/// A decrypted state.
#[derive(Debug)]
pub(crate) struct OpenedState {
    pub(crate) json: Box<RawValue>,
    /// The subjects whose values are in the state.
    pub(crate) subjects: Vec<Uuid>,
}

/// The stored form of a state with personal values.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EncryptedState {
    #[serde(rename = "$subjects")]
    subjects: Vec<Uuid>,
    #[serde(rename = "$sealed")]
    encrypted: String,
}

/// The subjects whose readable personal values are in a state or in events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Personal {
    subjects: Vec<Uuid>,
    /// Whether the subjects are too many or cannot be determined.
    unknown: bool,
}

impl Personal {
    /// Makes the set of the subjects whose values were encrypted together.
    pub(crate) const fn of(subjects: Vec<Uuid>) -> Self {
        Self { subjects, unknown: false }
    }

    /// Adds the subjects of this payload.
    pub(crate) fn add(&mut self, json: &str) {
        let Ok(fields) = marked::fields(json) else {
            self.unknown = true;
            return;
        };
        for field in fields.iter().filter(|field| matches!(field.content, Content::Plain(_))) {
            self.add_subject(field.subject);
        }
    }

    /// Adds the subjects of `more`.
    pub(crate) fn add_all(&mut self, more: &Self) {
        self.unknown |= more.unknown;
        more.subjects.iter().for_each(|subject| self.add_subject(*subject));
    }

    /// Returns each subject once; `None` when they are too many or cannot be determined. Then
    /// nothing is held.
    pub(crate) fn subjects(&self) -> Option<&[Uuid]> {
        (!self.unknown).then_some(&self.subjects)
    }

    /// Whether these subjects include all of `others`.
    pub(crate) fn covers(&self, others: &Self) -> bool {
        !self.unknown
            && !others.unknown
            && others.subjects.iter().all(|subject| self.subjects.contains(subject))
    }

    fn add_subject(&mut self, subject: Uuid) {
        if self.unknown || self.subjects.contains(&subject) {
            return;
        }
        self.unknown = self.subjects.len() == MAX_SUBJECTS;
        self.subjects.push(subject);
    }
}

/// Whether a stored state is encrypted.
pub(crate) fn is_encrypted(state: &RawValue) -> bool {
    state.get().starts_with(BEGINS)
}

impl Vault {
    /// Registers a holder to be notified of erasures.
    pub(crate) fn tell(&self, holder: Weak<dyn HoldsValues>) {
        let mut holders = self.shared.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(holder);
    }

    /// Whether one of these subjects is known to be erased, without a query.
    pub(crate) fn knows_erased(&self, subjects: &[Uuid]) -> bool {
        let mut cache = self.shared.cache();
        subjects.iter().any(|subject| matches!(cache.get(*subject), Some(Known::Erased)))
    }

    /// Whether one of these subjects is erased, so that none of its revealed values may be shown.
    /// As in [`Vault::reveal`], the key store is asked about subjects that are not cached.
    pub(crate) async fn any_erased(&self, subjects: &[Uuid]) -> Result<bool, KeyError> {
        let (known, missing) = self.shared.at_hand(subjects);
        if known.values().any(|known| matches!(known, Known::Erased)) {
            return Ok(true);
        }
        // A subject that never had a key was not erased.
        Ok(self
            .shared
            .look_up(&missing)
            .await?
            .iter()
            .any(|(_, known)| matches!(known, Known::Erased)))
    }

    /// Encrypts a state with values of these subjects; `None` when one of them has no key or is
    /// erased.
    pub(crate) async fn encrypt_state(
        &self,
        place: StatePlace<'_>,
        subjects: &[Uuid],
        json: &RawValue,
    ) -> Result<Option<Box<RawValue>>, KeyError> {
        let Some(key) = self.joint_key(subjects).await? else { return Ok(None) };
        let encrypted = place.encrypt(&key, json.get());
        Ok(encrypted.and_then(|encrypted| {
            to_raw_value(&EncryptedState { subjects: subjects.to_vec(), encrypted }).ok()
        }))
    }

    /// Decrypts a state that [`Vault::encrypt_state`] encrypted for this place. `None` when it
    /// cannot be decrypted, such as after an erasure of one of its subjects.
    pub(crate) async fn decrypt_state(
        &self,
        place: StatePlace<'_>,
        state: &RawValue,
    ) -> Result<Option<OpenedState>, KeyError> {
        let Ok(EncryptedState { subjects, encrypted }) = serde_json::from_str(state.get()) else {
            return Ok(None);
        };
        if subjects.len() > MAX_SUBJECTS {
            return Ok(None);
        }
        let Some(key) = self.joint_key(&subjects).await? else { return Ok(None) };
        let json = place.open(&key, &encrypted).and_then(|json| RawValue::from_string(json).ok());
        Ok(json.map(|json| OpenedState { json, subjects }))
    }

    async fn joint_key(&self, subjects: &[Uuid]) -> Result<Option<SubjectKey>, KeyError> {
        let (mut known, missing) = self.shared.at_hand(subjects);
        known.extend(self.shared.look_up(&missing).await?);
        // A fixed order, whatever the caller's.
        let mut keys = BTreeMap::new();
        for subject in subjects {
            let Some(Known::Key(key)) = known.remove(subject) else { return Ok(None) };
            keys.insert(*subject, key);
        }
        Ok(Some(joined(&keys)))
    }
}

impl Shared {
    /// Asks the key store about these subjects; those that never had a key are left out.
    async fn look_up(&self, subjects: &[Uuid]) -> Result<Vec<(Uuid, Known)>, KeyError> {
        let mut all = Vec::with_capacity(subjects.len());
        for page in subjects.chunks(MAX_BATCH) {
            let found = self.keys.find(page).await?;
            let stored = page
                .iter()
                .zip(found)
                .filter_map(|(subject, stored)| stored.map(|stored| (*subject, stored)));
            all.extend(self.opened(stored.collect::<Vec<(Uuid, StoredKey)>>()).await?);
        }
        Ok(all)
    }

    /// Notifies every holder of values that these subjects are erased.
    pub(super) fn tell_erased(&self, subjects: impl IntoIterator<Item = Uuid>) {
        let holders = self.living_holders();
        for subject in subjects {
            for holder in &holders {
                holder.let_go_of(subject);
            }
        }
    }

    /// Notifies every holder of values that it is no longer known who is erased.
    pub(super) fn tell_all(&self) {
        for holder in self.living_holders() {
            holder.let_go_of_all();
        }
    }

    /// Must be called without the lock: a holder may call back.
    fn living_holders(&self) -> Vec<std::sync::Arc<dyn HoldsValues>> {
        self.holders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl StatePlace<'_> {
    fn encrypt(&self, key: &SubjectKey, json: &str) -> Option<String> {
        self.with_place(|place| envelope::encrypt(key, place, json).ok())
    }

    fn open(&self, key: &SubjectKey, encrypted: &str) -> Option<String> {
        self.with_place(|place| envelope::decrypt(key, place, encrypted).ok())
    }

    /// This place never equals that of an event's field: a stream name has no blank.
    fn with_place<T>(&self, work: impl FnOnce(Place<'_>) -> T) -> T {
        let stream = format!("state of {}", self.stream);
        let path =
            format!("{}/{}/{}/{}", self.shape, self.epoch, self.version.0, self.last.position);
        let event_id = self.last.event_id.unwrap_or_default();
        work(Place { stream: &stream, event_id, subject: Uuid::nil(), path: &path })
    }
}

/// Derives one key from several. Each is random and of a fixed length, so the digest over all of
/// them reveals nothing of any.
fn joined(keys: &BTreeMap<Uuid, SubjectKey>) -> SubjectKey {
    let mut digest = Sha256::new().chain_update(b"the key of a state");
    for (subject, key) in keys {
        digest.update(subject.as_bytes());
        digest.update(key.expose());
    }
    SubjectKey::from_bytes(Zeroizing::new(digest.finalize().into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use super::*;
    use crate::encryption::master::{LocalMasterKeys, MasterKeys};
    use crate::encryption::{MemoryKeys, SubjectKeyStore, VaultOptions};
    use crate::event::Position;

    const ADA: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);

    async fn vault(keys: &Arc<MemoryKeys>) -> Arc<Vault> {
        let master =
            LocalMasterKeys::parse(&"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()).unwrap();
        for subject in [ADA, BOB] {
            let wrapped = master.wrap(&[(subject, SubjectKey::random())]).await.unwrap().remove(0);
            keys.ensure(&[(subject, wrapped)]).await.unwrap();
        }
        Vault::new(Arc::clone(keys) as _, Arc::new(master), VaultOptions::default())
    }

    #[tokio::test]
    async fn a_state_opens_in_its_place_and_with_everybodys_key_alone() {
        let keys = Arc::new(MemoryKeys::new());
        let stream = StreamName::new("thing", 1).unwrap();
        let (other, last) = (
            StreamName::new("thing", 2).unwrap(),
            EventRef { position: Position(7), event_id: Some(Uuid::from_u128(9)) },
        );
        let place = StatePlace {
            stream: &stream,
            shape: 1,
            epoch: Epoch(Uuid::nil()),
            version: Version(3),
            last,
        };
        let state = RawValue::from_string(r#"{"name":"Ada"}"#.to_owned()).unwrap();
        let encrypted =
            vault(&keys).await.encrypt_state(place, &[BOB, ADA], &state).await.unwrap().unwrap();
        assert!(
            is_encrypted(&encrypted) && !is_encrypted(&state) && !encrypted.get().contains("Ada"),
            "{encrypted}"
        );
        let opened = vault(&keys).await.decrypt_state(place, &encrypted).await.unwrap().unwrap();
        assert_eq!((opened.json.get(), opened.subjects), (state.get(), vec![BOB, ADA]));
        for elsewhere in [
            StatePlace { stream: &other, ..place },
            StatePlace { shape: 2, ..place },
            StatePlace { version: Version(4), ..place },
            StatePlace { epoch: Epoch(Uuid::from_u128(5)), ..place },
            StatePlace { last: EventRef::START, ..place },
        ] {
            assert!(
                vault(&keys).await.decrypt_state(elsewhere, &encrypted).await.unwrap().is_none(),
                "{elsewhere:?}"
            );
        }
        let without_bob = encrypted.get().replace(&format!("\"{BOB}\","), "");
        let without_bob = RawValue::from_string(without_bob).unwrap();
        assert!(vault(&keys).await.decrypt_state(place, &without_bob).await.unwrap().is_none());
        keys.destroy(BOB, "ops").await.unwrap();
        assert!(
            vault(&keys).await.decrypt_state(place, &encrypted).await.unwrap().is_none(),
            "one of them is erased"
        );
        assert!(
            vault(&keys).await.encrypt_state(place, &[ADA, BOB], &state).await.unwrap().is_none()
        );
    }
}
