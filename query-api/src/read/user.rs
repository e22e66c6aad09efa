//! Users, with their figures over confirmed orders.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Asked, Checkpoint, Page, PageRequest, Projection, Read, Shown};

/// Sums in minor units by currency.
pub type SumsMinor = BTreeMap<String, i64>;

/// A row of `read_model.users`.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// The user's id.
    pub id: Uuid,
    /// None once erased.
    pub email: Option<String>,
    /// None once erased.
    pub name: Option<String>,
    /// active or deactivated.
    pub status: String,
    /// Confirmed orders.
    pub order_count: i64,
    /// Of confirmed orders.
    pub total_spent: Json<SumsMinor>,
    /// The latest date of a confirmed order.
    pub last_order_at: Option<DateTime<Utc>>,
    /// When the user registered.
    pub created_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
    /// Of the user's own stream.
    pub version: i64,
    /// Of the last event that changed the row.
    pub position: i64,
}

/// The orders that a list of users can be in; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserSort {
    /// Oldest first.
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
    /// Fewest orders first.
    OrderCountAsc,
    /// Most orders first.
    OrderCountDesc,
}

/// One user.
#[derive(Debug, Clone, Copy)]
pub struct FindUser(pub Uuid);

/// A list of users.
#[derive(Debug, Clone)]
pub struct ListUsers {
    /// Only with this status.
    pub status: Option<String>,
    /// Only with this address, normalised.
    pub email: Option<String>,
    /// Which partition.
    pub page_request: PageRequest<UserSort>,
}

impl Read for FindUser {
    type Answer = Option<UserRow>;
    reads!("users");
    const BY_KEY: bool = true;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.0.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::row("users", answer.as_ref().map(|row| &row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let row = sqlx::query_file!("sql/users/find.sql", self.0).fetch_one(snapshot).await?;
        let checkpoints = Some(row.checkpoints.0);
        let found = || {
            Some(UserRow {
                id: row.id?,
                email: row.email,
                name: row.name,
                status: row.status?,
                order_count: row.order_count?,
                total_spent: row.total_spent?,
                last_order_at: row.last_order_at,
                created_at: row.created_at?,
                updated_at: row.updated_at?,
                version: row.version?,
                position: row.position?,
            })
        };
        Ok(Asked { data: found(), checkpoints })
    }
}

impl Read for ListUsers {
    type Answer = Page<UserRow>;
    reads!("users");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("users", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let total =
            if self.page_request.counts() { Some(self.count(snapshot).await?) } else { None };
        let rows = match self.page_request.sort {
            UserSort::CreatedAtAsc | UserSort::CreatedAtDesc => {
                self.by_created_at(snapshot).await?
            }
            UserSort::OrderCountAsc | UserSort::OrderCountDesc => {
                self.by_order_count(snapshot).await?
            }
        };
        Ok(self.page_request.page(rows, total).into())
    }
}

impl ListUsers {
    async fn count(&self, snapshot: &mut PgConnection) -> Result<i64, sqlx::Error> {
        sqlx::query_file_scalar!("sql/users/count.sql", self.status, self.email)
            .fetch_one(snapshot)
            .await
    }

    async fn by_created_at(
        &self,
        snapshot: &mut PgConnection,
    ) -> Result<Vec<UserRow>, sqlx::Error> {
        let (status, email, (at, id)) =
            (&self.status, &self.email, self.page_request.after::<DateTime<Utc>, Uuid>()?);
        let (limit, offset) = (self.page_request.limit(), self.page_request.offset());
        if self.page_request.sort == UserSort::CreatedAtAsc {
            sqlx::query_file_as!(
                UserRow,
                "sql/users/by_created_at_asc.sql",
                status.as_deref(),
                email.as_deref(),
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        } else {
            sqlx::query_file_as!(
                UserRow,
                "sql/users/by_created_at_desc.sql",
                status.as_deref(),
                email.as_deref(),
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        }
    }

    async fn by_order_count(
        &self,
        snapshot: &mut PgConnection,
    ) -> Result<Vec<UserRow>, sqlx::Error> {
        let (status, email, (count, id)) =
            (&self.status, &self.email, self.page_request.after::<i64, Uuid>()?);
        let (limit, offset) = (self.page_request.limit(), self.page_request.offset());
        if self.page_request.sort == UserSort::OrderCountAsc {
            sqlx::query_file_as!(
                UserRow,
                "sql/users/by_order_count_asc.sql",
                status.as_deref(),
                email.as_deref(),
                count,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        } else {
            sqlx::query_file_as!(
                UserRow,
                "sql/users/by_order_count_desc.sql",
                status.as_deref(),
                email.as_deref(),
                count,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        }
    }
}
