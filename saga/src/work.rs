//! The work tables: which instances have something to do, and when.
//!
//! A row is what its writer knew of the instance at a version of its stream; the higher version
//! wins. The fold of the log (`fold.rs`) knows that something happened, and makes the row due. A
//! driver knows what it means, and writes the time at which the instance is due next.
//!
//! A driver claims rows that are due. The rows of a driver that is gone are free again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::{Pool, PoolSettings, Schema, SchemaError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::instance::Signal;
use crate::sagas::Begun;

pub(crate) mod fold;
mod list;
pub(crate) mod release;

pub use list::{Listed, Listing};

/// How long a call waits for a connection, and how long it may take then.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The number of connections for claims, releases and operations.
pub(crate) const CONNECTIONS: u32 = 4;
/// The maximum number of signals that a driver takes with an instance.
pub(crate) const MAX_SIGNALS: i64 = 100;

/// The schema `saga` and its migrations.
pub fn schema() -> Schema {
    Schema::new("saga", sqlx::migrate!("../migrations/saga"), "process-manager migrate")
}

/// The work tables in their database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkTable {
    pool: Pool,
}

/// An instance that a driver has taken.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) saga: String,
    pub(crate) begun: Option<Begun>,
    pub(crate) signals: Vec<(i64, Signal)>,
    /// What the row had of news.
    pub(crate) news: i64,
    pub(crate) failures: i32,
}

/// The statements' options: no statement outlives its caller's patience.
pub(crate) fn options(connect: &PgConnectOptions, name: &str) -> PgConnectOptions {
    connect.clone().application_name(name).options([
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

    /// Takes up to `most` instances of these sagas that are due, with their signals.
    pub(crate) async fn claim(
        &self,
        driver: Uuid,
        now: DateTime<Utc>,
        sagas: &[String],
        most: usize,
    ) -> sqlx::Result<Vec<Claimed>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = sqlx::query_file!("sql/claim.sql", driver, now, sagas, most)
            .fetch_all(&self.pool)
            .await?;
        let mut claimed: Vec<Claimed> = Vec::with_capacity(rows.len());
        for row in rows {
            claimed.push(Claimed {
                id: row.id,
                saga: row.saga,
                begun: row.begun.and_then(|begun| readable(row.id, begun)),
                signals: Vec::new(),
                news: row.news,
                failures: row.failures,
            });
        }
        self.add_signals(&mut claimed).await?;
        Ok(claimed)
    }

    async fn add_signals(&self, claimed: &mut [Claimed]) -> sqlx::Result<()> {
        let ids: Vec<Uuid> = claimed.iter().map(|row| row.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query_file!("sql/signals_of.sql", &ids, MAX_SIGNALS)
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            let Some(signal) = readable(row.id, row.signal) else { continue };
            if let Some(claimed) = claimed.iter_mut().find(|claimed| claimed.id == row.id) {
                claimed.signals.push((row.position, signal));
            }
        }
        Ok(())
    }

    /// Shows that the driver is alive, for `lease` from now, and frees the instances of drivers
    /// that are not. It runs on the driver's own connection.
    pub(crate) async fn renew(
        connection: &mut PgConnection,
        driver: Uuid,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> sqlx::Result<u64> {
        sqlx::query_file!("sql/renew.sql", driver, lease.as_secs_f64())
            .execute(&mut *connection)
            .await?;
        let freed = sqlx::query_file!("sql/sweep.sql", now).execute(connection).await?;
        Ok(freed.rows_affected())
    }

    /// Frees the instances of this driver, which ends.
    pub(crate) async fn leave(&self, driver: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
        sqlx::query_file!("sql/leave.sql", driver, now).execute(&self.pool).await?;
        Ok(())
    }

    /// Has a driver look at an instance now.
    pub(crate) async fn wake(&self, id: Uuid, saga: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
        sqlx::query_file!("sql/wake.sql", id, saga, now).execute(&self.pool).await?;
        Ok(())
    }
}

/// Reads what this library wrote. A row of another version of it is due for its stream alone.
fn readable<T: serde::de::DeserializeOwned>(id: Uuid, value: serde_json::Value) -> Option<T> {
    serde_json::from_value(value)
        .inspect_err(|error| tracing::error!(saga = %id, %error, "work that cannot be read"))
        .ok()
}
