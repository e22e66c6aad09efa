//! The parts of a projection that an answer reads: all partitions, or the partition of one row.

use service_kit::partition::partition_of;

use super::{Projection, Read};

/// The part of one projection that an answer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadScope {
    /// The projection's name.
    pub projection: Projection,
    /// The key of the only row that it reads, or `None` if it reads any row.
    pub row: Option<String>,
}

impl ReadScope {
    /// The scopes of a question, one for each projection that it reads.
    pub fn of<R: Read>(question: &R) -> Vec<Self> {
        R::PROJECTIONS
            .iter()
            .map(|projection| Self { projection, row: question.row(projection) })
            .collect()
    }

    /// Whether the partition with this number is in scope, if there are `partitions` of them.
    pub fn reads(&self, partition: i32, partitions: i32) -> bool {
        self.row.as_ref().is_none_or(|key| partition_of(key, partitions) == partition)
    }
}
