//! Splitting a projection by a hash of its keys: each partition has its own rows, checkpoint and
//! owner, and stands where it stands.
//!
//! A generation has one partition unless the projection's declaration or `rebuild --partitions N`
//! says more; the number is fixed for the life of the generation, because it decides where each
//! key belongs. A projection whose rows mean something only together, as sums do, refuses to be
//! split. Each partition has its own checkpoint, lease, fence and metrics. A rebuild moves all
//! partitions of its generation together; a verification compares each partition at its own
//! position.
//!
//! A query waits for the partitions that its answer reads: a single row's own, or all of them. It
//! reports the lowest of their positions.

pub use service_kit::partition::partition_of;

use super::{Only, RowKey};

/// The most partitions that a generation may have.
pub const MAX_PARTITIONS: i32 = 64;

/// Whether a projection may be split into partitions.
///
/// A fold knows one row and one event, so each row is right however it is split. What is lost is
/// that all rows stand at one position: whoever reads several sees some of them later than others,
/// and one event in one row and not yet in another. Where that would tell something that never was,
/// as sums that are read side by side do, the answer is [`Split::Never`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// It stays whole, and why: in words for whoever wants to split it.
    Never(&'static str),
    /// Its rows mean something each by itself. Its first generation has so many partitions.
    ByKey(i32),
}

/// Some of the partitions of a generation: those whose keys are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    of: i32,
    /// A bit for each.
    chosen: u64,
}

impl Partitions {
    /// All of them, however many there are.
    pub const ALL: Self = Self { of: 1, chosen: 1 };

    /// These, of so many: at most [`MAX_PARTITIONS`].
    pub fn these(numbers: impl IntoIterator<Item = i32>, of: i32) -> Self {
        let chosen = numbers.into_iter().fold(0, |chosen, number| chosen | bit(number));
        let all = (0..of).fold(0, |all, number| all | bit(number));
        if chosen == all { Self::ALL } else { Self { of, chosen } }
    }

    /// Whether no key is left out.
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

    /// Whether an event that touches these keys is the business of one of these partitions. One
    /// that touches none is the first partition's.
    pub(super) fn touched_by<K: RowKey>(self, keys: &[K]) -> bool {
        self.is_all() || self.meets(touched(keys, self.of))
    }

    const fn meets(self, bits: u64) -> bool {
        self.chosen & bits != 0
    }
}

/// The partitions, a bit for each, whose business an event is that touches these keys.
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
