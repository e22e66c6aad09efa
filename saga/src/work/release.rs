//! Drivers give instances back.

use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::WorkTable;

/// What a driver writes about an instance that it gives back.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) status: &'static str,
    pub(crate) definition: i32,
    pub(crate) key: String,
    pub(crate) waits_for: String,
    pub(crate) reason: Option<String>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    /// The position up to which it has received signals.
    pub(crate) heard: i64,
    pub(crate) moved: bool,
    pub(crate) failures: i32,
    /// The news that the driver knew of.
    pub(crate) news: i64,
    /// Whether the row is not needed any more.
    pub(crate) forgotten: bool,
}

impl WorkTable {
    /// Gives these instances back. A row that another driver has by now stays as it is.
    pub(crate) async fn release(
        &self,
        driver: Uuid,
        done: &[Done],
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let (gone, kept): (Vec<&Done>, Vec<&Done>) = done.iter().partition(|done| done.forgotten);
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            if !gone.is_empty() {
                forget(&mut transaction, driver, &gone).await?;
            }
            // One that could not be forgotten has news, so it is given back, too.
            let all: Vec<&Done> = kept.iter().chain(&gone).copied().collect();
            release(&mut transaction, driver, &all, now).await?;
            transaction.commit().await
        };
        self.pool.run(work).await
    }
}

async fn forget(raw: &mut PgConnection, driver: Uuid, gone: &[&Done]) -> sqlx::Result<()> {
    sqlx::query_file!(
        "sql/forget.sql",
        driver,
        &gone.iter().map(|done| done.id).collect::<Vec<_>>(),
        &gone.iter().map(|done| done.version).collect::<Vec<_>>(),
        &gone.iter().map(|done| done.heard).collect::<Vec<_>>(),
        &gone.iter().map(|done| done.news).collect::<Vec<_>>(),
    )
    .execute(raw)
    .await?;
    Ok(())
}

async fn release(
    raw: &mut PgConnection,
    driver: Uuid,
    done: &[&Done],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let reasons: Vec<Option<&str>> = done.iter().map(|done| done.reason.as_deref()).collect();
    let due: Vec<Option<DateTime<Utc>>> = done.iter().map(|done| done.due_at).collect();
    sqlx::query_file!(
        "sql/release.sql",
        driver,
        &done.iter().map(|done| done.id).collect::<Vec<_>>(),
        &done.iter().map(|done| done.version).collect::<Vec<_>>(),
        &done.iter().map(|done| done.status.to_owned()).collect::<Vec<_>>(),
        &done.iter().map(|done| done.definition).collect::<Vec<_>>(),
        &done.iter().map(|done| done.key.clone()).collect::<Vec<_>>(),
        &done.iter().map(|done| done.waits_for.clone()).collect::<Vec<_>>(),
        &reasons as &[Option<&str>],
        &due as &[Option<DateTime<Utc>>],
        &done.iter().map(|done| done.heard).collect::<Vec<_>>(),
        &done.iter().map(|done| done.moved).collect::<Vec<_>>(),
        &done.iter().map(|done| done.failures).collect::<Vec<_>>(),
        &done.iter().map(|done| done.news).collect::<Vec<_>>(),
        now,
    )
    .execute(raw)
    .await?;
    Ok(())
}
