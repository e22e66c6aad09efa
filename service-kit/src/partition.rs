//! Maps a row's key to a partition of its projection. The projector splits work by it, and the
//! query API waits by it.

use sha2::{Digest as _, Sha256};

/// The partition of a key: the first four bytes of the SHA-256 of its text, as a big-endian number,
/// modulo the number of partitions. `read_model.partition_of` computes the same. It must never
/// change, because rows stay where they are.
pub fn partition_of(key: &str, partitions: i32) -> i32 {
    if partitions <= 1 {
        return 0;
    }
    let digest = Sha256::digest(key);
    let number = digest.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    i32::try_from(i64::from(number) % i64::from(partitions)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_its_part_for_good() {
        // Existing rows are where this says: another result would orphan them.
        for (key, partitions, partition) in
            [("a", 8, 2), ("1997-01-02/USD", 64, 9), ("00000000-0000-0000-0000-000000000001", 4, 3)]
        {
            assert_eq!(partition_of(key, partitions), partition, "{key} of {partitions}");
        }
        assert_eq!(partition_of("a", 1), 0);
    }
}
