//! How the process divides its connections to databases, and how many it opens at most.

use event_store::postgres::{PostgresKeys, PostgresOptions};
use postgres_kit::PoolLimits;
use service_kit::telemetry;

use crate::operations;

/// The shares of the pools, in the order of [`Pools`]. Lookups are the most frequent.
const WEIGHTS: [u32; 4] = [4, 3, 3, 2];

/// The limits of each pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pools {
    /// Lookups in the log, and scans of it.
    pub(super) reads: [PoolLimits; 2],
    /// The credentials.
    pub(super) credentials: PoolLimits,
    /// The keys of personal data.
    pub(super) keys: PoolLimits,
}

impl Pools {
    /// Divides the process's connections.
    pub(super) fn of(limits: PoolLimits) -> Self {
        let [lookups, scans, credentials, keys] = limits.divided(WEIGHTS);
        Self { reads: [lookups, scans], credentials, keys }
    }

    /// Shows in the metrics how many connections the process opens at most.
    pub(super) fn tell(&self, log: &PostgresOptions) {
        for (of, most) in [
            ("store", log.most_connections()),
            ("credentials", self.credentials.most),
            ("keys", PostgresKeys::most_connections(self.keys)),
            ("operations", operations::most_connections(log)),
        ] {
            telemetry::most_connections(of, most);
        }
    }
}
