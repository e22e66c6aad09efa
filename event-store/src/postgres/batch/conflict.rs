//! Conflicts between appends: two appends that could affect each other must not share a batch.
//!
//! Several appends to one stream may share a batch if each names the last event of the previous one
//! ([`ExpectedVersion::Behind`]): a chain. The stored function decides them in order. If it refuses
//! one, it refuses every append that follows it in the chain, and no other. Appends that only check
//! a stream's version may share a batch too.
//!
//! [`ExpectedVersion::Behind`]: crate::ExpectedVersion::Behind

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use crate::append::StreamAppend;
use crate::append::prepared::Prepared;
use crate::subject::subject_stream;

/// The keys that an append touches, as hashes. A hash collision only delays an append.
#[derive(Debug)]
pub(crate) struct ConflictSet {
    /// Its reservations, idempotency key and event ids. No other append of the batch may have one
    /// of them.
    owned: Vec<u64>,
    streams: Vec<Stream>,
    /// The tags of its events.
    tags: Vec<u64>,
    /// The first tag of each item of its conditions.
    asked: Vec<u64>,
    /// The streams of its subjects, which must stay without an event.
    unerased: Vec<u64>,
}

/// A stream that an append names.
#[derive(Debug)]
struct Stream {
    hash: u64,
    /// The event that the stream must end with before the append.
    behind: Option<Uuid>,
    /// The last event after the append; `None` when the append only checks the version.
    last: Option<Uuid>,
}

/// The effect of earlier appends on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No append of the batch changes the stream.
    Unchanged,
    /// The stream ends with this event after the batch.
    EndsWith(Uuid),
    /// An append that was left out names the stream.
    PassedOver,
}

/// The conflict sets of all earlier appends.
pub(crate) struct ConflictSets {
    owned: Hashes,
    streams: HashMap<u64, Before, BuildHasherDefault<Hashed>>,
    tags: Hashes,
    /// The tags in conditions. A later event does not affect an earlier condition of the batch, but
    /// it would affect one that was left out.
    asked: Hashes,
    unerased: Hashes,
}

type Hashes = HashSet<u64, BuildHasherDefault<Hashed>>;

/// A hasher that returns its input: the keys already are hashes.
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

impl ConflictSet {
    pub(crate) fn of(prepared: &Prepared) -> Self {
        let append = &prepared.append;
        let reservations =
            prepared.reservations.iter().map(|c| hash("reservation", &c.reservation));
        let key = append.idempotency.iter().map(|i| hash("key", i.key));
        let ids = prepared.events().map(|(e, _)| hash("event", e.id));
        Self {
            owned: reservations.chain(key).chain(ids).collect(),
            streams: append.streams.iter().map(Stream::of).collect(),
            tags: prepared
                .events()
                .flat_map(|(e, _)| &e.tags)
                .map(|t| hash("tag", t.as_str()))
                .collect(),
            asked: prepared
                .checks
                .iter()
                .filter_map(|c| c.tags.split(' ').next())
                .map(|t| hash("tag", t))
                .collect(),
            unerased: prepared
                .subjects
                .iter()
                .filter_map(|s| subject_stream(*s).ok())
                .map(|s| hash("stream", &s))
                .collect(),
        }
    }
}

impl Stream {
    fn of(append: &StreamAppend) -> Self {
        let last = append.events.last().map(|event| event.id);
        Self { hash: hash("stream", &append.stream), behind: append.expected.event_id(), last }
    }
}

impl ConflictSets {
    /// Makes an empty collection with room for this many common appends, which own a stream, a key
    /// and an event id.
    pub(crate) fn with_capacity(appends: usize) -> Self {
        let room = |hashes| Hashes::with_capacity_and_hasher(hashes, BuildHasherDefault::default());
        let streams = HashMap::with_capacity_and_hasher(appends, BuildHasherDefault::default());
        Self {
            owned: room(2 * appends),
            streams,
            tags: room(appends),
            asked: room(0),
            unerased: room(0),
        }
    }

    pub(crate) fn affects(&self, next: &ConflictSet) -> bool {
        next.streams.iter().any(|stream| match self.streams.get(&stream.hash) {
            None | Some(Before::Unchanged) => false,
            Some(Before::EndsWith(last)) => stream.behind != Some(*last),
            Some(Before::PassedOver) => true,
        }) || next.owned.iter().any(|o| self.owned.contains(o))
            || next.asked.iter().any(|t| self.tags.contains(t))
            || next.tags.iter().any(|t| self.asked.contains(t))
            || next.unerased.iter().any(|stream| self.streams.contains_key(stream))
            || (!self.unerased.is_empty()
                && next.streams.iter().any(|stream| self.unerased.contains(&stream.hash)))
    }

    /// Adds an append that joins the batch.
    pub(crate) fn join(&mut self, conflict_set: &ConflictSet) {
        for stream in &conflict_set.streams {
            match stream.last {
                Some(last) => drop(self.streams.insert(stream.hash, Before::EndsWith(last))),
                None => drop(self.streams.entry(stream.hash).or_insert(Before::Unchanged)),
            }
        }
        self.add(conflict_set);
    }

    /// Adds an append that waits for a later batch.
    pub(crate) fn pass_over(&mut self, conflict_set: &ConflictSet) {
        self.streams
            .extend(conflict_set.streams.iter().map(|stream| (stream.hash, Before::PassedOver)));
        self.add(conflict_set);
    }

    fn add(&mut self, conflict_set: &ConflictSet) {
        self.owned.extend(&conflict_set.owned);
        self.tags.extend(&conflict_set.tags);
        self.asked.extend(&conflict_set.asked);
        self.unerased.extend(&conflict_set.unerased);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Uuid = Uuid::from_u128(7);

    /// Makes an append to one stream, with the event that it names and the one that it brings.
    fn on_stream(behind: Option<Uuid>, last: Option<Uuid>) -> ConflictSet {
        let streams = vec![Stream { hash: 1, behind, last }];
        ConflictSet {
            owned: Vec::new(),
            streams,
            tags: Vec::new(),
            asked: Vec::new(),
            unerased: Vec::new(),
        }
    }

    #[test]
    fn a_stream_takes_a_second_append_only_behind_the_first_ones_last_event() {
        let mut before = ConflictSets::with_capacity(2);
        assert!(!before.affects(&on_stream(None, Some(LAST))));
        before.join(&on_stream(None, Some(LAST)));
        assert!(!before.affects(&on_stream(Some(LAST), None)));
        for behind in [None, Some(Uuid::from_u128(8))] {
            assert!(before.affects(&on_stream(behind, None)));
        }
    }

    #[test]
    fn one_that_only_looks_at_a_version_changes_nothing_for_those_after_it() {
        let mut before = ConflictSets::with_capacity(4);
        before.join(&on_stream(None, None));
        assert!(
            !before.affects(&on_stream(None, Some(LAST))),
            "two may read, and one may append after them"
        );
        before.join(&on_stream(None, Some(LAST)));
        before.join(&on_stream(Some(LAST), None));
        assert!(
            before.affects(&on_stream(None, Some(Uuid::from_u128(8)))),
            "the stream still ends with another's event"
        );
        assert!(!before.affects(&on_stream(Some(LAST), Some(Uuid::from_u128(8)))));
    }

    #[test]
    fn nobody_overtakes_one_that_was_passed_over() {
        let mut before = ConflictSets::with_capacity(2);
        before.join(&on_stream(None, Some(LAST)));
        before.pass_over(&on_stream(None, Some(Uuid::from_u128(8))));
        assert!(before.affects(&on_stream(Some(LAST), Some(Uuid::from_u128(9)))));
    }
}
