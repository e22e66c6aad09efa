//! Shows to other processes that this one is alive, and frees the instances of those that are not.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
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

    /// Renews it. Returns the number of instances that became free.
    pub(super) async fn renew(&mut self, now: DateTime<Utc>) -> sqlx::Result<u64> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await?,
        };
        let (driver, lease) = (self.driver, self.lease);
        let renew = async |raw: &mut PgConnection| WorkTable::renew(raw, driver, lease, now).await;
        let freed = connection.run(renew).await?;
        self.connection = Some(connection);
        Ok(freed)
    }
}
