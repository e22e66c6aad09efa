//! What an answer reads of a projection: every partition of it, or that of one row.

use service_kit::partition::partition_of;

use super::{Projection, Read};

/// What an answer reads of one projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadScope {
    /// Which projection.
    pub projection: Projection,
    /// The key of the one row that it reads; `None`: any row.
    pub row: Option<String>,
}

impl ReadScope {
    /// What the answer to a question reads.
    pub fn of<R: Read>(question: &R) -> Vec<Self> {
        R::PROJECTIONS
            .iter()
            .map(|projection| Self { projection, row: question.row(projection) })
            .collect()
    }

    /// Whether it reads the partition with this number, of so many.
    pub fn reads(&self, partition: i32, partitions: i32) -> bool {
        self.row.as_ref().is_none_or(|key| partition_of(key, partitions) == partition)
    }
}
