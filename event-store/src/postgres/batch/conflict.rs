//! Whether two appends could affect each other, so that they must not share a batch.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crate::append::prepared::Prepared;
use crate::erasure::subject_stream;

/// What an append touches, as hashes: two different things with one hash merely wait for each other without need.
#[derive(Debug)]
pub(crate) struct Footprint {
    /// Its streams, claims, idempotency key and event ids: nobody else in the batch may have one of them.
    owned: Vec<u64>,
    /// Its events' tags.
    tags: Vec<u64>,
    /// The first tag of each item of its conditions.
    asked: Vec<u64>,
    /// The streams of its subjects, which must stay without an event.
    unerased: Vec<u64>,
}

/// The footprints of all that came before.
pub(crate) struct Footprints {
    owned: Hashes,
    tags: Hashes,
    /// Tags asked for by conditions. An earlier condition is not affected by a later event, but one that was passed over would be.
    asked: Hashes,
    unerased: Hashes,
}

type Hashes = HashSet<u64, BuildHasherDefault<Hashed>>;

/// Hashes nothing: what is looked for is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn hash(kind: &str, value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}

impl Footprint {
    pub(crate) fn of(prepared: &Prepared) -> Self {
        let append = &prepared.append;
        let streams = append.streams.iter().map(|s| hash("stream", &s.stream));
        let claims = prepared.claims.iter().map(|c| hash("claim", &c.claim));
        let key = append.idempotency.iter().map(|i| hash("key", i.key));
        let ids = prepared.events().map(|(e, _)| hash("event", e.id));
        Self {
            owned: streams.chain(claims).chain(key).chain(ids).collect(),
            tags: prepared.events().flat_map(|(e, _)| &e.tags).map(|t| hash("tag", t.as_str())).collect(),
            asked: prepared.checks.iter().filter_map(|c| c.tags.split(' ').next()).map(|t| hash("tag", t)).collect(),
            unerased: prepared.subjects.iter().filter_map(|s| subject_stream(*s).ok()).map(|s| hash("stream", &s)).collect(),
        }
    }
}

impl Footprints {
    /// None yet; there is room for those of so many appends of the common kind, which own a stream, a key and an event id.
    pub(crate) fn with_capacity(appends: usize) -> Self {
        let room = |hashes| Hashes::with_capacity_and_hasher(hashes, BuildHasherDefault::default());
        Self { owned: room(3 * appends), tags: room(appends), asked: room(0), unerased: room(0) }
    }

    pub(crate) fn affects(&self, next: &Footprint) -> bool {
        next.owned.iter().any(|o| self.owned.contains(o))
            || next.asked.iter().any(|t| self.tags.contains(t))
            || next.tags.iter().any(|t| self.asked.contains(t))
            || next.unerased.iter().any(|s| self.owned.contains(s))
            || (!self.unerased.is_empty() && next.owned.iter().any(|o| self.unerased.contains(o)))
    }

    pub(crate) fn add(&mut self, footprint: &Footprint) {
        self.owned.extend(&footprint.owned);
        self.tags.extend(&footprint.tags);
        self.asked.extend(&footprint.asked);
        self.unerased.extend(&footprint.unerased);
    }
}
