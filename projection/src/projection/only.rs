//! Selects the keys to fold.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::RowKey;
use super::split::Partitions;

/// The keys to fold. Others are ignored.
#[derive(Debug, Clone)]
pub enum Only {
    /// All keys.
    All,
    /// The keys chosen by a hash of seed and key. `read_model.is_sampled` computes the same.
    Sample {
        /// The seed. Another one chooses other keys.
        seed: String,
        /// The share of the keys, in units of 2^-32.
        below: i64,
    },
    /// Only this key, as text.
    Key(String),
    /// The keys of some partitions of a generation.
    Partitions(Partitions),
    /// The keys of another selection, except these.
    AllBut(Box<Only>, Arc<HashSet<String>>),
    /// Only these keys, as text.
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
