//! Drivers take instances that are due, with their signals, and free those that they do not know.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::WorkTable;
use crate::instance::Signal;
use crate::sagas::Begun;

/// The maximum number of signals that a driver takes with an instance.
pub(crate) const MAX_SIGNALS: i64 = 100;
/// How long an instance of a saga that no process knows waits for a process that does. After that,
/// any process takes it.
const OVERDUE: Duration = Duration::from_mins(1);
/// The maximum number of strays that a driver looks at in one round.
const MAX_STRAYS: i64 = 1_000;

/// An instance that a driver has taken.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) saga: String,
    pub(crate) begun: Option<Begun>,
    pub(crate) signals: Vec<(i64, Signal)>,
    /// The `news` of the row when it was taken.
    pub(crate) news: i64,
    pub(crate) failures: i32,
}

impl WorkTable {
    /// Takes up to `most` instances of these sagas that are due, with their signals, in one
    /// transaction: a driver that owns rows must know them. Instances of sagas that no process
    /// knows are taken when they are overdue for [`OVERDUE`].
    pub(crate) async fn claim(
        &self,
        driver: Uuid,
        now: DateTime<Utc>,
        sagas: &[String],
        most: usize,
    ) -> sqlx::Result<Vec<Claimed>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            let rows =
                sqlx::query_file!("sql/claim.sql", driver, now, sagas, most, OVERDUE.as_secs_f64())
                    .fetch_all(&mut *transaction)
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
            add_signals(&mut transaction, &mut claimed).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(claimed)
        };
        self.pool.run(work).await
    }

    /// The instances that this driver owns and that are not among those it knows.
    pub(crate) async fn strays(&self, driver: Uuid, known: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
        let rows = sqlx::query_file!("sql/strays.sql", driver, known, MAX_STRAYS)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Frees these instances, if they are this driver's.
    pub(crate) async fn free(&self, driver: Uuid, ids: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query_file!("sql/free.sql", driver, ids).execute(&self.pool).await?;
        Ok(())
    }
}

async fn add_signals(raw: &mut PgConnection, claimed: &mut [Claimed]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = claimed.iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_file!("sql/signals_of.sql", &ids, MAX_SIGNALS).fetch_all(raw).await?;
    for row in rows {
        let Some(signal) = readable(row.id, row.signal) else { continue };
        if let Some(claimed) = claimed.iter_mut().find(|claimed| claimed.id == row.id) {
            claimed.signals.push((row.position, signal));
        }
    }
    Ok(())
}

/// Reads what this library wrote. If another version of it wrote the row, only the stream of the
/// instance counts.
fn readable<T: serde::de::DeserializeOwned>(id: Uuid, value: serde_json::Value) -> Option<T> {
    serde_json::from_value(value)
        .inspect_err(|error| tracing::error!(saga = %id, %error, "work that cannot be read"))
        .ok()
}
