//! The work tables: which instances have something to do, and when.
//!
//! A row is what its writer knew of the instance at a version of its stream; the higher version
//! wins. The fold of the log (`fold.rs`) knows that something happened, and makes the row due. A
//! driver knows what it means, and writes the time at which the instance is due next.
//!
//! A driver claims rows that are due. The rows of a driver that is gone are free again.
//!
//! The checkpoint of the fold says how far each saga was folded (`intake/resume.rs`). It goes back
//! if the program that takes over knows a saga that the last one did not know.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::{Pool, PoolSettings, Schema, SchemaError, ended_when_lost};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

mod claim;
pub(crate) mod fold;
mod list;
pub(crate) mod release;

pub(crate) use claim::{Claimed, MAX_SIGNALS};
pub use list::{Listed, Listing};

/// How long a call waits for a connection, and how long it may take then.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The number of connections for claims, releases and operations.
pub(crate) const CONNECTIONS: u32 = 4;

/// The schema `saga` and its migrations.
pub fn schema() -> Schema {
    Schema::new("saga", sqlx::migrate!("../migrations/saga"), "process-manager migrate")
}

/// The work tables in their database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkTable {
    pool: Pool,
}

/// The statements' options: no statement outlives its caller's patience, and no transaction its
/// caller.
pub(crate) fn options(connect: &PgConnectOptions, name: &str) -> PgConnectOptions {
    ended_when_lost(connect.clone()).application_name(name).options([
        ("statement_timeout", "4s"),
        ("lock_timeout", "2s"),
        ("tcp_user_timeout", "5s"),
    ])
}

impl WorkTable {
    /// The tables at this address. It connects when it is first used.
    pub fn new(connect: &PgConnectOptions) -> Self {
        let settings = PoolSettings::new(CONNECTIONS, ACQUIRE_LIMIT, CALL_LIMIT);
        Self { pool: Pool::new(options(connect, "sagas"), settings) }
    }

    /// Checks that the schema is the one that this program knows.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn check(&self) -> Result<(), SchemaError> {
        self.pool.run(async |raw: &mut PgConnection| schema().check(raw).await).await
    }

    /// Shows that the driver is alive, for `lease` from now, and knows these sagas. It runs on the
    /// driver's own connection. Returns the time of the database.
    pub(crate) async fn renew(
        connection: &mut PgConnection,
        driver: Uuid,
        lease: Duration,
        sagas: &[String],
    ) -> sqlx::Result<DateTime<Utc>> {
        let row = sqlx::query_file!("sql/renew.sql", driver, lease.as_secs_f64(), sagas);
        Ok(row.fetch_one(connection).await?.now)
    }

    /// Frees the instances of drivers that are gone. Returns how many.
    pub(crate) async fn sweep(&self) -> sqlx::Result<u64> {
        let freed = sqlx::query_file!("sql/sweep.sql").execute(&self.pool).await?;
        Ok(freed.rows_affected())
    }

    /// Frees the instances of this driver, which ends.
    pub(crate) async fn leave(&self, driver: Uuid) -> sqlx::Result<()> {
        sqlx::query_file!("sql/leave.sql", driver).execute(&self.pool).await?;
        Ok(())
    }

    /// Deletes the checkpoint of the fold and ends its lease, so that the next owner begins again.
    pub(crate) async fn fold_again(&self) -> sqlx::Result<()> {
        sqlx::query_file!("sql/fold_again.sql", fold::NAME).execute(&self.pool).await?;
        Ok(())
    }

    /// Has a driver look at an instance now.
    pub(crate) async fn wake(&self, id: Uuid, saga: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
        sqlx::query_file!("sql/wake.sql", id, saga, now).execute(&self.pool).await?;
        Ok(())
    }
}
