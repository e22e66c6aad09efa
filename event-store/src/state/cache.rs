//! A cache of stream states: the most recently used ones, bounded in number and in bytes.
//!
//! A cached state may be old. The caller reads newer events on top of it, and the append checks the
//! version. A state with personal values is dropped as soon as one of its subjects is known to be
//! erased.
//!
//! It is not `moka` or `quick_cache`, which have one limit each. And an erasure must remove every
//! state of a subject in one step, by an index that each eviction keeps true under the same lock.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::Current;
use crate::encryption::vault::held::HoldsValues;
use crate::event::Epoch;
use crate::stream::{StreamName, Version};

/// The approximate size of an entry without its state and its name, in bytes.
const ENTRY_BYTES: usize = 256;
/// The approximate size of the index entry of one subject without the stream's name, in bytes.
const SUBJECT_BYTES: usize = 128;

/// The limits of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The maximum number of states.
    pub states: usize,
    /// The maximum total size of all states in bytes, by their own estimates.
    pub bytes: usize,
}

impl Default for CacheLimits {
    /// Returns 10,000 states and 64 MiB.
    fn default() -> Self {
        Self { states: 10_000, bytes: 64 * 1024 * 1024 }
    }
}

/// A cache of states by stream, of any state type.
pub struct StateCache {
    limits: CacheLimits,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<StreamName, Entry>,
    /// The streams in order of their last use.
    by_use: BTreeMap<u64, StreamName>,
    /// For each subject, the streams whose states have values of it.
    by_subject: HashMap<Uuid, HashSet<StreamName>>,
    uses: u64,
    bytes: usize,
}

struct Entry {
    state: Box<dyn Any + Send + Sync>,
    epoch: Epoch,
    version: Version,
    /// The subjects whose values are in the state.
    subjects: Vec<Uuid>,
    bytes: usize,
    used: u64,
}

impl StateCache {
    /// Makes an empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    /// Returns the state of a stream as last cached in this epoch.
    pub fn get<S: Clone + Send + Sync + 'static>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
    ) -> Option<Current<S>> {
        let mut held = self.held();
        let entry = held.entries.get(stream).filter(|entry| entry.epoch == epoch)?;
        let found = entry.state.downcast_ref::<Current<S>>().cloned();
        if found.is_some() {
            held.touch(stream);
        }
        found
    }

    /// Caches a state, unless a newer one is cached or it has values of too many subjects. Evicts
    /// the least recently used states until the limits hold.
    pub fn put<S: Clone + Send + Sync + 'static>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        state: Current<S>,
        heap_bytes: usize,
    ) {
        let Some(subjects) = state.personal.subjects().map(<[Uuid]>::to_vec) else { return };
        let of_subjects = subjects.len() * (stream.as_str().len() + SUBJECT_BYTES);
        let bytes = size_of::<Current<S>>()
            + heap_bytes
            + 2 * stream.as_str().len()
            + ENTRY_BYTES
            + of_subjects;
        let mut held = self.held();
        let newer = held
            .entries
            .get(stream)
            .is_some_and(|kept| kept.epoch == epoch && kept.version > state.version);
        if newer || bytes > self.limits.bytes {
            return;
        }
        held.remove(stream);
        held.uses += 1;
        let used = held.uses;
        held.by_use.insert(used, stream.clone());
        held.bytes += bytes;
        for subject in &subjects {
            held.by_subject.entry(*subject).or_default().insert(stream.clone());
        }
        let entry =
            Entry { version: state.version, state: Box::new(state), epoch, subjects, bytes, used };
        held.entries.insert(stream.clone(), entry);
        while held.entries.len() > self.limits.states || held.bytes > self.limits.bytes {
            let Some((_, oldest)) = held.by_use.pop_first() else { break };
            held.remove(&oldest);
        }
    }

    /// Evicts a stream's state.
    pub(crate) fn remove(&self, stream: &StreamName) {
        self.held().remove(stream);
    }

    /// Evicts everything.
    pub fn clear(&self) {
        *self.held() = Held::default();
    }

    /// Returns the number of cached states and their approximate size in bytes.
    pub fn size(&self) -> (usize, usize) {
        let held = self.held();
        (held.entries.len(), held.bytes)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic inside leaves at worst a sum that is too large, which only evicts more.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldsValues for StateCache {
    fn let_go_of(&self, subject: Uuid) {
        let mut held = self.held();
        let streams = held.by_subject.remove(&subject).unwrap_or_default();
        for stream in &streams {
            held.remove(stream);
        }
    }

    fn let_go_of_all(&self) {
        let mut held = self.held();
        let streams: HashSet<StreamName> =
            std::mem::take(&mut held.by_subject).into_values().flatten().collect();
        for stream in &streams {
            held.remove(stream);
        }
    }
}

impl Held {
    fn touch(&mut self, stream: &StreamName) {
        let Some(entry) = self.entries.get_mut(stream) else { return };
        self.uses += 1;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, stream.clone());
    }

    fn remove(&mut self, stream: &StreamName) {
        if let Some(entry) = self.entries.remove(stream) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
            for subject in entry.subjects {
                let Some(streams) = self.by_subject.get_mut(&subject) else { continue };
                streams.remove(stream);
                if streams.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::Current;
    use super::{CacheLimits, HoldsValues as _, StateCache};
    use crate::encryption::vault::held::{MAX_SUBJECTS, Personal};
    use crate::event::{Epoch, EventRef, Position};
    use crate::stream::{StreamName, Version};

    const NOW: Epoch = Epoch(Uuid::from_u128(1));

    fn stream(id: usize) -> StreamName {
        StreamName::new("thing", id).unwrap()
    }

    fn at(version: i64) -> Current<i64> {
        Current {
            state: version,
            version: Version(version),
            last: EventRef::START,
            seen: Position::START,
            kept: Version::NONE,
            personal: Personal::default(),
        }
    }

    fn with_values_of(subjects: std::ops::Range<usize>) -> Current<i64> {
        let field = |subject: usize| {
            format!(r#"{{"$subject":"{}","$personal":1}}"#, Uuid::from_u128(subject as u128))
        };
        let mut state = at(1);
        subjects.for_each(|subject| state.personal.add(&field(subject)));
        state
    }

    fn versions(cache: &StateCache, ids: std::ops::Range<usize>) -> Vec<Option<i64>> {
        ids.map(|id| cache.get::<i64>(&stream(id), NOW).map(|found| found.version.0)).collect()
    }

    #[test]
    fn the_states_used_longest_ago_go_first() {
        let cache = StateCache::new(CacheLimits { states: 3, bytes: usize::MAX });
        for id in 0..3 {
            cache.put(&stream(id), NOW, at(1), 0);
        }
        cache.get::<i64>(&stream(0), NOW).unwrap();
        cache.put(&stream(3), NOW, at(1), 0);
        assert_eq!(versions(&cache, 0..4), [Some(1), None, Some(1), Some(1)]);
    }

    #[test]
    fn it_never_holds_more_bytes_than_it_may() {
        let limits = CacheLimits { states: usize::MAX, bytes: 100_000 };
        let cache = StateCache::new(limits);
        for id in 0..1_000 {
            cache.put(&stream(id), NOW, at(1), id * 7 % 3_000);
            assert!(cache.size().1 <= limits.bytes);
        }
        assert!(cache.size().0 > 20);
        cache.put(&stream(1), NOW, at(1), 200_000);
        assert!(cache.size().0 > 20, "a state too large for the cache evicts nothing");
        cache.clear();
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn an_older_state_does_not_replace_a_newer_one_and_another_history_finds_nothing() {
        let cache = StateCache::new(CacheLimits::default());
        cache.put(&stream(0), NOW, at(5), 0);
        cache.put(&stream(0), NOW, at(4), 0);
        assert_eq!(versions(&cache, 0..1), [Some(5)]);
        let later = Epoch(Uuid::from_u128(2));
        assert!(cache.get::<i64>(&stream(0), later).is_none());
        assert!(cache.get::<String>(&stream(0), NOW).is_none(), "it has another type");
        cache.put(&stream(0), later, at(1), 0);
        assert_eq!((versions(&cache, 0..1), cache.size().0), (vec![None], 1));
    }

    #[test]
    fn the_states_with_values_of_an_erased_subject_go_and_the_others_stay() {
        let cache = StateCache::new(CacheLimits::default());
        cache.put(&stream(0), NOW, at(1), 0);
        for (id, subjects) in [(1, 1..2), (2, 1..3), (3, 2..3), (4, 0..MAX_SUBJECTS + 1)] {
            cache.put(&stream(id), NOW, with_values_of(subjects), 0);
        }
        assert_eq!(
            versions(&cache, 0..5),
            [Some(1), Some(1), Some(1), Some(1), None],
            "one process has too many"
        );
        cache.let_go_of(Uuid::from_u128(1));
        assert_eq!(versions(&cache, 0..4), [Some(1), None, None, Some(1)]);
        cache.let_go_of(Uuid::from_u128(1));
        cache.let_go_of_all();
        assert_eq!(versions(&cache, 0..4), [Some(1), None, None, None]);
        assert!(cache.held().by_subject.is_empty());
        // After eviction or replacement, its subjects no longer lead to it.
        cache.put(&stream(3), NOW, with_values_of(2..3), 0);
        cache.put(&stream(3), NOW, at(2), 0);
        assert!(cache.held().by_subject.is_empty());
        cache.let_go_of(Uuid::from_u128(2));
        assert_eq!(versions(&cache, 3..4), [Some(2)]);
    }
}
