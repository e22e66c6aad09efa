//! What people see of the work.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::WorkTable;

/// An instance that has not ended, as the work tables know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The id of the instance.
    pub id: Uuid,
    /// The name of the saga.
    pub saga: String,
    /// What it is about; empty before a driver looked at it.
    pub key: String,
    /// The name of its [`Status`](crate::instance::Status), or `failing` while nobody can drive it.
    /// `absent` before a driver looked at it, and `completed` or `compensated` until it is deleted.
    pub status: String,
    /// The version of its definition, from 1; 0 before a driver looked at it.
    pub definition: i32,
    /// The steps that are not settled, in a few words.
    pub waits_for: String,
    /// Why it is undone or parked, or why nobody could drive it.
    pub reason: Option<String>,
    /// When a driver looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// When it last moved: when an event was last appended to its stream.
    pub moved_at: DateTime<Utc>,
    /// The version of its stream, as far as the row knows; 0 before its first event.
    pub version: i64,
    /// How often in a row nobody could drive it.
    pub failures: i32,
    /// Whether a process drives it now.
    pub driven: bool,
}

/// Which instances to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only of this saga.
    pub saga: Option<String>,
    /// Only in this status: a text as in [`Listed::status`].
    pub status: Option<String>,
    /// Only those that have not moved since.
    pub not_moved_since: Option<DateTime<Utc>>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// The maximum number of instances; the default of 0 lists none.
    pub limit: i64,
}

impl WorkTable {
    /// Lists instances that have not ended, those that have not moved for longest first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn list(&self, listing: &Listing) -> sqlx::Result<Vec<Listed>> {
        let Listing { saga, status, not_moved_since, after, limit } = listing;
        sqlx::query_file_as!(
            Listed,
            "sql/list.sql",
            saga.as_deref() as Option<&str>,
            status.as_deref() as Option<&str>,
            *not_moved_since as Option<DateTime<Utc>>,
            after.map(|(at, _)| at) as Option<DateTime<Utc>>,
            after.map(|(_, id)| id) as Option<Uuid>,
            limit
        )
        .fetch_all(&self.pool)
        .await
    }

    /// The number of instances that have not ended, by saga and status.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn counts(&self) -> sqlx::Result<Vec<(String, String, i64)>> {
        let rows = sqlx::query_file!("sql/counts.sql").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.saga, row.status, row.count)).collect())
    }
}
