//! Shows other processes that this one is alive.

use std::time::Duration;

use chrono::TimeDelta;
use postgres_kit::Connection;
use service_kit::clock::Clock;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::work::{self, WorkTable};

/// How long connecting may take, and how long a call.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// The driver's entry in the table of drivers, with the connection that others watch.
pub(super) struct Registration {
    connect: PgConnectOptions,
    connection: Option<Connection>,
    pub(super) driver: Uuid,
    lease: Duration,
}

impl Registration {
    pub(super) fn new(connect: &PgConnectOptions, driver: Uuid, lease: Duration) -> Self {
        // Others find the connection by this end of its name.
        let connect = work::options(connect, &format!("sagas {driver}"));
        Self { connect, connection: None, driver, lease }
    }

    /// How often to renew it.
    pub(super) fn interval(&self) -> Duration {
        self.lease / 4
    }

    /// Renews it. Returns by how much the database's clock is ahead of this one, not counting what
    /// the time of the call can explain; negative if it is behind.
    pub(super) async fn renew(
        &mut self,
        sagas: &[String],
        clock: &dyn Clock,
    ) -> sqlx::Result<TimeDelta> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await?,
        };
        let (driver, lease) = (self.driver, self.lease);
        let renew =
            async |raw: &mut PgConnection| WorkTable::renew(raw, driver, lease, sagas).await;
        let before = clock.now();
        let there = connection.run(renew).await?;
        let after = clock.now();
        self.connection = Some(connection);
        Ok(there - there.clamp(before, after.max(before)))
    }
}
