//! Which keys are folded.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::RowKey;
use super::split::Partitions;

/// Which keys are folded; the others are passed over.
#[derive(Debug, Clone)]
pub enum Only {
    /// All of them.
    All,
    /// Those that a hash of seed and key chooses. `read_model.is_sampled` says the same.
    Sample {
        /// Another one chooses other keys.
        seed: String,
        /// The share of the keys, of 2^32.
        below: i64,
    },
    /// This one alone, as text.
    Key(String),
    /// Those of some partitions of a generation.
    Partitions(Partitions),
    /// Of those, all but these.
    AllBut(Box<Only>, Arc<HashSet<String>>),
    /// These, as text.
    These(Arc<HashSet<String>>),
}

impl Only {
    pub(super) fn has(&self, key: &impl RowKey) -> bool {
        match self {
            Self::All => true,
            Self::Key(only) => *only == key.text(),
            Self::Partitions(partitions) => partitions.has(key),
            Self::AllBut(only, keys) => only.has(key) && !keys.contains(&key.text()),
            Self::These(keys) => keys.contains(&key.text()),
            Self::Sample { seed, below } => {
                let digest = Sha256::new().chain_update(seed).chain_update(key.text()).finalize();
                digest
                    .first_chunk()
                    .is_some_and(|first| i64::from(u32::from_be_bytes(*first)) < *below)
            }
        }
    }
}
