//! A cache of subject keys, bounded in number and in time. A key is dropped at once when its
//! subject is erased.
//!
//! Two generations approximate the order of use. When the young one is full it becomes the old one,
//! and an entry used in the old one moves to the young one. An erasure is final, so that fact has
//! no time limit, and a new query would give the same answer.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::master::SubjectKey;

/// The cached knowledge about a subject.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Key(SubjectKey),
    Erased,
}

struct Entry {
    known: Known,
    until: Option<Instant>,
}

pub(super) struct Cache {
    young: HashMap<Uuid, Entry>,
    old: HashMap<Uuid, Entry>,
    /// The maximum number of entries of one generation.
    half: usize,
    lifetime: Duration,
}

impl Cache {
    /// Makes a cache of up to `most` subjects that holds each key for at most `lifetime`.
    pub(super) fn new(most: usize, lifetime: Duration) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1), lifetime }
    }

    pub(super) fn get(&mut self, subject: Uuid) -> Option<Known> {
        let fresh = |entry: &Entry| entry.until.is_none_or(|until| Instant::now() < until);
        if let Some(entry) = self.young.get(&subject) {
            if fresh(entry) {
                return Some(entry.known.clone());
            }
            self.young.remove(&subject);
            return None;
        }
        let entry = self.old.remove(&subject).filter(fresh)?;
        let known = entry.known.clone();
        self.insert(subject, entry);
        Some(known)
    }

    /// Caches an answer of the key store. A subject known to be erased stays erased: an older
    /// answer cannot bring its key back.
    pub(super) fn put(&mut self, subject: Uuid, known: Known) {
        if matches!(self.get(subject), Some(Known::Erased)) {
            return;
        }
        let until = match known {
            Known::Key(_) => Some(Instant::now() + self.lifetime),
            Known::Erased => None,
        };
        self.old.remove(&subject);
        self.insert(subject, Entry { known, until });
    }

    /// Marks the subject as erased.
    pub(super) fn erase(&mut self, subject: Uuid) {
        self.put(subject, Known::Erased);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    fn insert(&mut self, subject: Uuid, entry: Entry) {
        if self.young.len() >= self.half && !self.young.contains_key(&subject) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_mins(1);

    fn is_key(known: Option<&Known>) -> bool {
        matches!(known, Some(Known::Key(_)))
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_keeps_what_is_used() {
        let mut cache = Cache::new(10, LIFETIME);
        let used = Uuid::from_u128(0);
        cache.put(used, Known::Key(SubjectKey::random()));
        for n in 1..1_000 {
            cache.put(Uuid::from_u128(n), Known::Key(SubjectKey::random()));
            assert!(is_key(cache.get(used).as_ref()), "used all the time");
            assert!(cache.young.len() + cache.old.len() <= 10);
        }
        assert!(cache.get(Uuid::from_u128(1)).is_none(), "not used for long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_forgotten_after_its_time_but_an_erasure_is_not() {
        let mut cache = Cache::new(10, LIFETIME);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        cache.put(one, Known::Key(SubjectKey::random()));
        cache.erase(other);
        tokio::time::advance(LIFETIME / 2).await;
        assert!(is_key(cache.get(one).as_ref()));
        tokio::time::advance(LIFETIME / 2).await;
        assert!(cache.get(one).is_none());
        cache.put(other, Known::Key(SubjectKey::random()));
        assert!(
            matches!(cache.get(other), Some(Known::Erased)),
            "an answer from before the erasure changes nothing"
        );
        cache.clear();
        assert!(cache.get(other).is_none());
    }
}
