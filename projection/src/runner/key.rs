//! Identifies a partition. The keys of a projection's generation are split into a fixed number of
//! partitions.

use std::sync::Arc;

use super::lease;
use crate::generation::Generation;
use crate::projection::{AnyProjection, Only, Partitions};

/// One partition of one generation of one projection.
pub(crate) struct PartitionKey {
    pub(crate) projection: Arc<dyn AnyProjection>,
    pub(crate) generation: i32,
    pub(crate) partition: i32,
    /// The number of partitions of the generation.
    pub(crate) of: i32,
    pub(crate) lease: String,
}

impl PartitionKey {
    pub(crate) fn new(
        projection: Arc<dyn AnyProjection>,
        generation: &Generation,
        partition: i32,
    ) -> Self {
        let (lease, of) = (
            lease::name(projection.name(), generation.generation, partition),
            generation.partitions,
        );
        Self { projection, generation: generation.generation, partition, of, lease }
    }

    /// The partition as a set of partitions of its generation.
    pub(crate) fn partitions(&self) -> Partitions {
        Partitions::these([self.partition], self.of)
    }

    /// The filter for the keys of this partition.
    pub(crate) fn only(&self) -> Only {
        self.partitions().only()
    }
}
