//! Records how the attempts of a round ended.

use std::time::Duration;

use event_feed::consumer::Checkpoint;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Tables;

/// An attempt that failed, or was not made.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    /// The number of attempts so far.
    pub(crate) attempts: i32,
    /// The pause before the next one; `None` if the delivery is parked.
    pub(crate) pause: Option<Duration>,
    pub(crate) error: &'static str,
    pub(crate) status: Option<u16>,
}

/// How the attempts of a round ended.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) delivered: Vec<i64>,
    pub(crate) failed: Vec<Failed>,
    /// Whether any attempt was made.
    pub(crate) any_attempt: bool,
}

/// Whether the results of new events were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    Done,
    /// Somebody else moved or ended the feed. Nothing was recorded.
    Elsewhere,
}

/// The columns of failed attempts, for `unnest`.
#[derive(Default)]
struct Columns {
    positions: Vec<i64>,
    events: Vec<Uuid>,
    types: Vec<String>,
    attempts: Vec<i32>,
    pauses: Vec<Option<f64>>,
    errors: Vec<String>,
    statuses: Vec<Option<i32>>,
}

impl Columns {
    fn of(failed: &[Failed]) -> Self {
        let mut columns = Self::default();
        for one in failed {
            columns.positions.push(one.position);
            columns.events.push(one.event_id);
            columns.types.push(one.event_type.clone());
            columns.attempts.push(one.attempts);
            columns.pauses.push(one.pause.map(|pause| pause.as_secs_f64()));
            columns.errors.push(one.error.to_owned());
            columns.statuses.push(one.status.map(i32::from));
        }
        columns
    }
}

impl Tables {
    /// Records the first attempts of the events between `from` and `to`, and moves the feed.
    pub(crate) async fn advance(
        &self,
        (feed, subscription): (Uuid, Uuid),
        (from, to): (Checkpoint, Checkpoint),
        results: &Results,
    ) -> sqlx::Result<Recorded> {
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            let moved = sqlx::query_file!(
                "sql/advance.sql",
                feed,
                from.at.position.0,
                from.at.event_id as Option<Uuid>,
                to.epoch.map(|epoch| epoch.0) as Option<Uuid>,
                to.at.position.0,
                to.at.event_id as Option<Uuid>,
            )
            .execute(&mut *transaction)
            .await?;
            if moved.rows_affected() != 1 {
                transaction.rollback().await?;
                return Ok(Recorded::Elsewhere);
            }
            if !results.failed.is_empty() {
                let columns = Columns::of(&results.failed);
                sqlx::query_file!(
                    "sql/failed.sql",
                    feed,
                    &columns.positions,
                    &columns.events,
                    &columns.types,
                    &columns.attempts,
                    &columns.pauses as &[Option<f64>],
                    &columns.errors,
                    &columns.statuses as &[Option<i32>],
                )
                .execute(&mut *transaction)
                .await?;
            }
            settle(&mut transaction, subscription, results).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Recorded::Done)
        };
        self.pool.run(work).await
    }

    /// Records repeated attempts.
    pub(crate) async fn repeated(
        &self,
        (feed, subscription): (Uuid, Uuid),
        results: &Results,
    ) -> sqlx::Result<()> {
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            sqlx::query_file!("sql/delivered.sql", feed, &results.delivered)
                .execute(&mut *transaction)
                .await?;
            if !results.failed.is_empty() {
                let columns = Columns::of(&results.failed);
                sqlx::query_file!(
                    "sql/failed_again.sql",
                    feed,
                    &columns.positions,
                    &columns.attempts,
                    &columns.pauses as &[Option<f64>],
                    &columns.errors,
                    &columns.statuses as &[Option<i32>],
                )
                .execute(&mut *transaction)
                .await?;
            }
            settle(&mut transaction, subscription, results).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(())
        };
        self.pool.run(work).await
    }

    /// Stops sending to a subscription. Returns false if it is stopped already.
    pub(crate) async fn stop(&self, subscription: Uuid, why: &str) -> sqlx::Result<bool> {
        let paused = sqlx::query_file!("sql/pause.sql", subscription, why);
        Ok(paused.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Records that a replay has sent everything.
    pub(crate) async fn done(&self, replay: Uuid) -> sqlx::Result<()> {
        sqlx::query_file!("sql/end_feed.sql", replay).execute(&self.pool).await?;
        Ok(())
    }
}

/// Records whether the receiver works.
async fn settle(raw: &mut PgConnection, subscription: Uuid, results: &Results) -> sqlx::Result<()> {
    if results.any_attempt {
        let succeeded = !results.delivered.is_empty();
        sqlx::query_file!("sql/settled.sql", subscription, succeeded).execute(raw).await?;
    }
    Ok(())
}
