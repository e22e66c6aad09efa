//! The options of the store: the database and this process's limits.

use std::str::FromStr as _;
use std::time::Duration;

use postgres_kit::PoolLimits;
use sqlx::postgres::PgConnectOptions;

use crate::error::StoreError;
use crate::event::Head;

/// The options of a [`PostgresStore`](super::PostgresStore): the database, and the limits of this
/// process.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) connect: PgConnectOptions,
    pub(super) application_name: String,
    /// The limits of the pool for lookups, and of the pool for scans.
    pub(super) reads: [PoolLimits; 2],
    pub(super) append_deadline: Duration,
    pub(super) max_queued: usize,
    pub(super) known_head: Option<Head>,
}

impl PostgresOptions {
    /// Makes the default options for a database URL.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the URL is invalid. The message does not repeat the URL, since
    /// it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Unusable("its URL cannot be read".into()))?;
        Ok(Self {
            connect,
            application_name: "event-store".into(),
            reads: [reads(8); 2],
            append_deadline: Duration::from_secs(5),
            max_queued: 4_096,
            known_head: None,
        })
    }

    /// Sets the name under which Postgres lists the connections.
    #[must_use]
    pub fn application_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.application_name);
        self
    }

    /// Sets the maximum number of connections per read pool; 8 by default. One pool serves lookups
    /// by key and reads in log order, the other one scans. Readiness and appends have one more
    /// connection each. Unused connections stay open.
    #[must_use]
    pub fn read_connections(mut self, most: u32) -> Self {
        self.reads = [reads(most); 2];
        self
    }

    /// Sets the limits of the two read pools: of lookups, and of scans.
    #[must_use]
    pub const fn read_pools(mut self, limits: [PoolLimits; 2]) -> Self {
        self.reads = limits;
        self
    }

    /// The maximum number of connections of a store with these options: those of its read pools,
    /// one for appends, and one that proves the history.
    pub fn most_connections(&self) -> u32 {
        self.reads.iter().map(|pool| pool.most).sum::<u32>() + 2
    }

    /// Sets how long an append may wait for its outcome; 5 seconds by default.
    #[must_use]
    pub fn append_deadline(mut self, deadline: Duration) -> Self {
        self.append_deadline = deadline;
        self
    }

    /// Sets the maximum number of waiting appends; 4,096 by default. One more is rejected with
    /// [`StoreError::Unavailable`].
    #[must_use]
    pub fn max_queued(mut self, most: usize) -> Self {
        self.max_queued = most;
        self
    }

    /// Sets the newest event known from elsewhere, such as from before a restart. A log without it
    /// is rejected with [`StoreError::OtherHistory`] until it has the event or has begun a new
    /// epoch. By default any log is accepted.
    #[must_use]
    pub const fn known_head(mut self, known: Option<Head>) -> Self {
        self.known_head = known;
        self
    }
}

/// The limits of a read pool with so many connections besides the one for readiness.
const fn reads(most: u32) -> PoolLimits {
    let most = most.saturating_add(1);
    PoolLimits::of(most, most)
}
