//! The lease of each partition of each generation decides which process projects it.
//!
//! The lease only keeps two processes from doing the same work. The term on the checkpoint keeps
//! them from doing harm.

use std::time::Duration;

use postgres_kit::{Lease, LeaseTable};
use uuid::Uuid;

use super::PartitionKey;

/// How long a lease holds without a renewal.
pub const LEASE: Duration = Duration::from_secs(9);
/// How often it is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// The name of a process's connections. It ends with the process's id, so a backend is never
/// mistaken for another one that got the same pid later.
pub(crate) fn application_name(owner: Uuid) -> String {
    format!("projector {owner}")
}

/// The name of a partition's lease.
pub(crate) fn name(projection: &str, generation: i32, partition: i32) -> String {
    format!("{projection}_g{generation}/{partition}")
}

/// The lease of a partition, for the process `owner`.
pub(crate) fn of(partition: &PartitionKey, owner: Uuid) -> Lease {
    Lease::new(LeaseTable::ReadModel, &partition.lease, owner, LEASE)
}
