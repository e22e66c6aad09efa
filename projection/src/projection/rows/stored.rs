//! Remembers which keys the table may contain.

use std::hash::Hash;

use fastbloom::BloomFilter;

/// The size of the filter of keys that may have been written, in bits (16 MiB).
const FILTER_BITS: usize = 1 << 27;
/// The number of bits that each key sets in the filter.
const FILTER_HASHES: u32 = 4;

/// The keys that the table may contain.
pub(super) enum Stored {
    Nothing,
    /// Keys that are not in the filter are not in the table.
    These(Box<BloomFilter>),
    /// Any key may be in the table.
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
