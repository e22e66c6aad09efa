//! What a round of a feed needs to know.

use std::time::Duration;

use event_feed::consumer::Checkpoint;
use event_store::encryption::WrappedKey;
use event_store::{Epoch, EventRef, Position};
use uuid::Uuid;

use super::Tables;

/// A feed that is to be sent, as it is now.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subscription: Uuid,
    /// Up to where the feed was sent.
    pub(crate) from: Checkpoint,
    /// The event types to send, besides `subject.erased`.
    pub(crate) types: Vec<String>,
    /// The last position of a replay.
    pub(crate) until: Option<Position>,
    /// The maximum number of events per second of a replay.
    pub(crate) rate: Option<i32>,
    pub(crate) url: String,
    pub(crate) personal: bool,
    pub(crate) secret: WrappedKey,
    /// The secret before, while it still signs.
    pub(crate) old_secret: Option<WrappedKey>,
    /// Whether every attempt has failed for longer than it may.
    pub(crate) failed_for_long: bool,
    /// The number of deliveries of the feed that wait for another attempt.
    pub(crate) waiting: i64,
    /// The time until the next of them is due.
    pub(crate) due_in: Option<Duration>,
    /// The number of parked deliveries of the subscription.
    pub(crate) parked: i64,
}

/// A delivery whose next attempt is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
    pub(crate) attempts: i32,
}

impl Tables {
    /// The ids of the feeds to send: those of active subscriptions, without replays that ended.
    pub(crate) async fn active(&self) -> sqlx::Result<Vec<Uuid>> {
        let rows = sqlx::query_file!("sql/active.sql").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The feed as it is now; `None` if it is not to be sent any more.
    pub(crate) async fn plan(
        &self,
        feed: Uuid,
        failing_for: Duration,
    ) -> sqlx::Result<Option<Plan>> {
        let row = sqlx::query_file!("sql/plan.sql", feed, failing_for.as_secs_f64());
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let at = EventRef { position: Position(row.position), event_id: row.event_id };
        let old = row.old_key.zip(row.old_secret);
        Ok(Some(Plan {
            subscription: row.subscription,
            from: Checkpoint { epoch: row.epoch.map(Epoch), at },
            types: row.types,
            until: row.until.map(Position),
            rate: row.rate,
            url: row.url,
            personal: row.personal,
            secret: WrappedKey { master: row.secret_key, bytes: row.secret },
            old_secret: old.map(|(master, bytes)| WrappedKey { master, bytes }),
            failed_for_long: row.failed_for_long,
            waiting: row.waiting,
            due_in: row.due_in.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
            parked: row.parked,
        }))
    }

    /// Up to `most` deliveries that are due.
    pub(crate) async fn due(&self, feed: Uuid, most: u32) -> sqlx::Result<Vec<Due>> {
        let due = sqlx::query_file_as!(Due, "sql/due.sql", feed, i64::from(most));
        due.fetch_all(&self.pool).await
    }
}
