//! What a partition is: one of so many that the keys of a generation of a projection are split
//! into.

use std::sync::Arc;

use super::lease;
use crate::generation::Generation;
use crate::projection::{AnyProjection, Only, Partitions};

/// One partition of one generation of one projection.
pub(crate) struct PartitionKey {
    pub(crate) projection: Arc<dyn AnyProjection>,
    pub(crate) generation: i32,
    pub(crate) partition: i32,
    /// How many partitions the generation has.
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

    /// The partition among the others of its generation.
    pub(crate) fn partitions(&self) -> Partitions {
        Partitions::these([self.partition], self.of)
    }

    /// Which keys are its own.
    pub(crate) fn only(&self) -> Only {
        self.partitions().only()
    }
}
