//! What people see of the tables. The command line reads the same types.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tables;

/// A subscription, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscriptionRow {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// The URL of the receiver.
    pub url: String,
    /// The event types that it gets, besides `subject.erased`.
    pub types: Vec<String>,
    /// Whether it gets personal fields in the clear.
    pub personal: bool,
    /// Why nothing is sent; null if it is active.
    pub paused_for: Option<String>,
    /// Since when every attempt fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the last rotation signs, too.
    pub old_until: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Who created it.
    pub created_by: String,
    /// The position in the log up to which events were sent or wait here.
    pub position: i64,
    /// The number of deliveries that wait for another attempt.
    pub waiting: i64,
    /// The number of parked deliveries.
    pub parked: i64,
}

/// A delivery that has not succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The feed: the subscription itself, or a replay.
    pub feed: Uuid,
    /// The position of the event.
    pub position: i64,
    /// The id of the event.
    pub event_id: Uuid,
    /// The type of the event.
    pub r#type: String,
    /// The number of failed attempts.
    pub attempts: i32,
    /// When it is tried next; null if it is parked.
    pub next_at: Option<DateTime<Utc>>,
    /// The kind of the last failure.
    pub error: String,
    /// The HTTP status of the last answer.
    pub status: Option<i32>,
    /// When it failed first.
    pub first_at: DateTime<Utc>,
    /// When it failed last.
    pub last_at: DateTime<Utc>,
    /// Whether it is part of a replay.
    pub is_replay: bool,
}

/// A replay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRow {
    /// Its id, which marks its messages.
    pub id: Uuid,
    /// The position up to which it has sent.
    pub position: i64,
    /// Its event types; null if they are those of the subscription.
    pub types: Option<Vec<String>>,
    /// Its last position.
    pub until: i64,
    /// The maximum number of events per second.
    pub rate: i32,
    /// Why it was asked for.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// `done` or `cancelled`; null while it goes on.
    pub ended: Option<String>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Tables {
    /// All subscriptions.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn subscriptions(&self) -> sqlx::Result<Vec<SubscriptionRow>> {
        self.listed(None).await
    }

    /// One subscription, if it is there.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn subscription(&self, id: Uuid) -> sqlx::Result<Option<SubscriptionRow>> {
        Ok(self.listed(Some(id)).await?.into_iter().next())
    }

    async fn listed(&self, id: Option<Uuid>) -> sqlx::Result<Vec<SubscriptionRow>> {
        let most = crate::limits::MAX_SUBSCRIPTIONS * 2;
        let rows = sqlx::query_file_as!(SubscriptionRow, "sql/list.sql", id as Option<Uuid>, most);
        rows.fetch_all(&self.pool).await
    }

    /// Up to `limit` deliveries of a subscription after a position that have not succeeded.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn deliveries(
        &self,
        subscription: Uuid,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<DeliveryRow>> {
        let rows =
            sqlx::query_file_as!(DeliveryRow, "sql/deliveries.sql", subscription, after, limit);
        rows.fetch_all(&self.pool).await
    }

    /// Up to `limit` replays of a subscription, the newest first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn replays(&self, subscription: Uuid, limit: i64) -> sqlx::Result<Vec<ReplayRow>> {
        let rows = sqlx::query_file_as!(ReplayRow, "sql/replays.sql", subscription, limit);
        rows.fetch_all(&self.pool).await
    }
}
