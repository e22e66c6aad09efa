//! Which keys the table may have rows of, told from memory.

use std::hash::Hash;

use fastbloom::BloomFilter;

/// Bits of the filter that tells which keys may have been written: 16 MiB.
const FILTER_BITS: usize = 1 << 27;
/// Bits that each key sets in it.
const FILTER_HASHES: u32 = 4;

/// Which keys the table may have rows of.
pub(super) enum Stored {
    Nothing,
    /// What is not in the filter is not there.
    These(Box<BloomFilter>),
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
            Self::These(filter) => filter.contains(key),
        }
    }

    pub(super) fn insert(&mut self, key: &impl Hash) {
        if matches!(self, Self::Nothing) {
            let filter = BloomFilter::with_num_bits(FILTER_BITS).hashes(FILTER_HASHES);
            *self = Self::These(Box::new(filter));
        }
        if let Self::These(filter) = self {
            filter.insert(key);
        }
    }
}
