//! Which keys the table may have rows of, told from memory.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Bits of the filter that tells which keys may have been written: 16 MiB.
const FILTER_BITS: u64 = 1 << 27;
/// Bits that each key sets in it.
const FILTER_HASHES: u64 = 4;
/// Which keys the table may have rows of.
pub(super) enum Stored {
    Nothing,
    /// A Bloom filter: what is not in it is not there.
    These(Vec<u64>),
    /// Nothing is known.
    Anything,
}

impl Stored {
    pub(super) fn any(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(super) fn may_have(&self, key: &impl Hash) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::These(bits) => {
                places(key).all(|(word, bit)| bits.get(word).is_some_and(|bits| bits & bit != 0))
            }
        }
    }

    pub(super) fn insert(&mut self, key: &impl Hash) {
        if matches!(self, Self::Nothing) {
            *self = Self::These(vec![0; usize::try_from(FILTER_BITS / 64).unwrap_or(0)]);
        }
        if let Self::These(bits) = self {
            for (word, bit) in places(key) {
                if let Some(bits) = bits.get_mut(word) {
                    *bits |= bit;
                }
            }
        }
    }
}

/// The bits of a key: word and bit in it.
fn places(key: &impl Hash) -> impl Iterator<Item = (usize, u64)> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    // Two halves of one hash stand for as many hashes as are needed.
    let (first, step) = (hash, hash.rotate_left(32) | 1);
    (0..FILTER_HASHES).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(step)) % FILTER_BITS;
        (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
    })
}
