//! The parts of a projection that an answer reads: all partitions, or the partition of one row.

use service_kit::partition::partition_of;

/// The name of a projection, as in its checkpoint.
pub type Projection = &'static str;

/// The part of one projection that an answer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadScope {
    /// The projection's name.
    pub projection: Projection,
    /// The key of the only row that it reads, or `None` if it reads any row.
    pub row: Option<String>,
}

impl ReadScope {
    /// Whether the partition with this number is in scope, if there are `partitions` of them.
    pub fn reads(&self, partition: i32, partitions: i32) -> bool {
        self.row.as_ref().is_none_or(|key| partition_of(key, partitions) == partition)
    }
}
