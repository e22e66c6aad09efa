//! A cache of subject keys, bounded in number and in time. A key is dropped at once when its
//! subject is erased.
//!
//! An erasure is final, so that fact has no time limit, and a new query would give the same answer.

use std::time::Duration;

use quick_cache::unsync;
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
    entries: unsync::Cache<Uuid, Entry>,
    lifetime: Duration,
}

impl Cache {
    /// Makes a cache of up to `most` subjects that holds each key for at most `lifetime`.
    pub(super) fn new(most: usize, lifetime: Duration) -> Self {
        Self { entries: unsync::Cache::new(most), lifetime }
    }

    pub(super) fn get(&mut self, subject: Uuid) -> Option<Known> {
        let entry = self.entries.get(&subject)?;
        if entry.until.is_none_or(|until| Instant::now() < until) {
            return Some(entry.known.clone());
        }
        self.entries.remove(&subject);
        None
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
        self.entries.insert(subject, Entry { known, until });
    }

    /// Marks the subject as erased.
    pub(super) fn erase(&mut self, subject: Uuid) {
        self.put(subject, Known::Erased);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
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
            assert!(cache.entries.len() <= 10);
        }
        let kept = (0..1_000).filter(|n| cache.get(Uuid::from_u128(*n)).is_some()).count();
        assert!(kept <= 10, "{kept}");
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
