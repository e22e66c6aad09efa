//! Splits a projection by a hash of its keys. Each partition has its own rows, checkpoint, owner
//! and position.
//!
//! A generation has one partition unless the projection's declaration or `rebuild --partitions N`
//! sets more. The number is fixed for the life of the generation, because it decides where each key
//! belongs. A projection whose rows make sense only together, such as sums, refuses to be split.
//! Each partition has its own checkpoint, lease, fence and metrics. A rebuild moves all partitions
//! of its generation together. A verification compares each partition at its own position.
//!
//! A query waits for the partitions that its answer reads: a single row's own, or all of them. It
//! reports the lowest of their positions.

pub use service_kit::partition::partition_of;

use super::{Only, RowKey};

/// The maximum number of partitions of a generation.
pub const MAX_PARTITIONS: i32 = 64;

/// Whether a projection may be split into partitions.
///
/// A fold knows one row and one event, so each row is right however it is split. But the rows are
/// no longer at one position: a reader of several rows sees some later than others, and one event
/// in one row but not yet in another. If that could show a state that never existed, as with sums
/// that are read side by side, use [`Split::Never`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// It stays whole. The text tells people why.
    Never(&'static str),
    /// Its rows are independent of each other. Its first generation has this number of partitions.
    ByKey(i32),
}

/// A set of partitions of a generation, whose keys are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    of: i32,
    /// One bit per partition.
    chosen: u64,
}

impl Partitions {
    /// All partitions, however many there are.
    pub const ALL: Self = Self { of: 1, chosen: 1 };

    /// Selects partitions by number, out of `of`, which is at most [`MAX_PARTITIONS`].
    pub fn these(numbers: impl IntoIterator<Item = i32>, of: i32) -> Self {
        let chosen = numbers.into_iter().fold(0, |chosen, number| chosen | bit(number));
        let all = (0..of).fold(0, |all, number| all | bit(number));
        if chosen == all { Self::ALL } else { Self { of, chosen } }
    }

    /// Whether all keys are included.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// The keys of these partitions.
    pub(crate) fn only(self) -> Only {
        if self.is_all() { Only::All } else { Only::Partitions(self) }
    }

    pub(super) fn has(self, key: &impl RowKey) -> bool {
        self.is_all() || self.meets(bit(partition_of(&key.text(), self.of)))
    }

    /// Whether an event that touches these keys concerns one of these partitions. An event that
    /// touches no key belongs to the first partition.
    pub(super) fn touched_by<K: RowKey>(self, keys: &[K]) -> bool {
        self.is_all() || self.meets(touched(keys, self.of))
    }

    const fn meets(self, bits: u64) -> bool {
        self.chosen & bits != 0
    }
}

/// The partitions that an event with these keys concerns, one bit each.
pub(super) fn touched<K: RowKey>(keys: &[K], of: i32) -> u64 {
    if keys.is_empty() {
        bit(0)
    } else {
        keys.iter().fold(0, |bits, key| bits | bit(partition_of(&key.text(), of)))
    }
}

fn bit(number: i32) -> u64 {
    1 << u32::try_from(number).unwrap_or(0).min(63)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_key_is_in_exactly_one_part_and_parts_are_about_even() {
        let partitions: Vec<Partitions> =
            (0..8).map(|number| Partitions::these([number], 8)).collect();
        let mut counts = [0; 8];
        for number in 0..8_000 {
            let key = Uuid::from_u128(number);
            let mut of = partitions
                .iter()
                .enumerate()
                .filter(|(_, partitions)| partitions.has(&key))
                .map(|(number, _)| number);
            counts[of.next().unwrap_or(0)] += 1;
            assert_eq!(of.next(), None);
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn all_parts_together_leave_no_key_out() {
        assert!(Partitions::these(0..64, 64).is_all() && Partitions::these([0], 1).is_all());
        assert!(!Partitions::these(0..63, 64).is_all());
        assert_eq!(touched::<Uuid>(&[], 4), 1);
    }
}
