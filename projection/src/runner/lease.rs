//! Who projects a partition: a lease of the feed's for each partition of each generation.
//!
//! The lease only keeps two processes from doing the same work; what keeps them from doing harm is
//! the term on the checkpoint.

use std::time::Duration;

use postgres_kit::{Lease, LeaseTable};
use uuid::Uuid;

use super::PartitionKey;

/// How long a lease holds without a renewal.
pub const LEASE: Duration = Duration::from_secs(9);
/// How often it is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// What a process calls its connections, so that a backend is never taken for another that got the
/// same pid later.
pub(crate) fn application_name(owner: Uuid) -> String {
    format!("projector {owner}")
}

/// What the lease of a partition is called.
pub(crate) fn name(projection: &str, generation: i32, partition: i32) -> String {
    format!("{projection}_g{generation}/{partition}")
}

/// The lease of a partition, wanted by the process `owner`.
pub(crate) fn of(partition: &PartitionKey, owner: Uuid) -> Lease {
    Lease::new(LeaseTable::ReadModel, &partition.lease, owner, LEASE)
}
