//! Orders with their lines.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Asked, Checkpoint, Page, PageRequest, Projection, Read, Shown};

/// A row of `read_model.orders`.
#[derive(Debug, Clone)]
pub struct OrderRow {
    /// The order's id.
    pub id: Uuid,
    /// Whose order.
    pub user_id: Uuid,
    /// pending, confirmed or cancelled.
    pub status: String,
    /// Of all prices.
    pub currency: String,
    /// All lines.
    pub total_minor: i64,
    /// All lines.
    pub units: i64,
    /// In the order added.
    pub lines: Json<Vec<LineRow>>,
    /// An import's date, else the confirmation's.
    pub ordered_at: Option<DateTime<Utc>>,
    /// When it was confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
    /// Of the order's own stream.
    pub version: i64,
    /// Of the last event that changed the row.
    pub position: i64,
}

/// A line of an order.
#[derive(Debug, Clone, Deserialize)]
pub struct LineRow {
    /// The line's id.
    pub line_id: Uuid,
    /// What was ordered.
    pub product_id: Uuid,
    /// Its name when it was ordered.
    pub product_name: String,
    /// How many.
    pub quantity: i64,
    /// Of one, in minor units of the order's currency.
    pub unit_price_minor: i64,
}

/// The orders that a list of orders can be in; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderSort {
    /// Oldest first.
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
}

/// One order.
#[derive(Debug, Clone, Copy)]
pub struct FindOrder(pub Uuid);

/// A list of orders.
#[derive(Debug, Clone)]
pub struct ListOrders {
    /// Only of this user.
    pub user_id: Option<Uuid>,
    /// Only with this status.
    pub status: Option<String>,
    /// Which partition.
    pub page_request: PageRequest<OrderSort>,
}

/// A list of one user's orders; none if there is no such user.
#[derive(Debug, Clone)]
pub struct ListOrdersOfUser {
    /// Whose orders.
    pub user_id: Uuid,
    /// Only with this status.
    pub status: Option<String>,
    /// Which partition.
    pub page_request: PageRequest<OrderSort>,
}

impl Read for FindOrder {
    type Answer = Option<OrderRow>;
    reads!("orders");
    const BY_KEY: bool = true;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.0.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::row("orders", answer.as_ref().map(|row| &row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let row = sqlx::query_file!("sql/orders/find.sql", self.0).fetch_one(snapshot).await?;
        let checkpoints = Some(row.checkpoints.0);
        let found = || {
            Some(OrderRow {
                id: row.id?,
                user_id: row.user_id?,
                status: row.status?,
                currency: row.currency?,
                total_minor: row.total_minor?,
                units: row.units?,
                lines: row.lines?,
                ordered_at: row.ordered_at,
                confirmed_at: row.confirmed_at,
                cancelled_at: row.cancelled_at,
                created_at: row.created_at?,
                updated_at: row.updated_at?,
                version: row.version?,
                position: row.position?,
            })
        };
        Ok(Asked { data: found(), checkpoints })
    }
}

impl Read for ListOrders {
    type Answer = Page<OrderRow>;
    reads!("orders");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("orders", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        list(snapshot, self.user_id, self.status.as_deref(), &self.page_request)
            .await
            .map(Asked::from)
    }
}

impl Read for ListOrdersOfUser {
    type Answer = Option<Page<OrderRow>>;
    reads!("users", "orders");

    fn row(&self, projection: Projection) -> Option<String> {
        // The user's row says whether there is such a user.
        (projection == "users").then(|| self.user_id.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("orders", answer.iter().flat_map(|page| &page.rows).map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        if !sqlx::query_file_scalar!("sql/users/exists.sql", self.user_id)
            .fetch_one(&mut *snapshot)
            .await?
        {
            return Ok(None.into());
        }
        list(snapshot, Some(self.user_id), self.status.as_deref(), &self.page_request)
            .await
            .map(|page| Some(page).into())
    }
}

async fn list(
    snapshot: &mut PgConnection,
    user: Option<Uuid>,
    status: Option<&str>,
    page_request: &PageRequest<OrderSort>,
) -> Result<Page<OrderRow>, sqlx::Error> {
    let total = if page_request.counts() {
        Some(
            sqlx::query_file_scalar!("sql/orders/count.sql", user, status)
                .fetch_one(&mut *snapshot)
                .await?,
        )
    } else {
        None
    };
    let (at, id) = page_request.after::<DateTime<Utc>, Uuid>()?;
    let (limit, offset) = (page_request.limit(), page_request.offset());
    let rows = match page_request.sort {
        OrderSort::CreatedAtAsc => {
            sqlx::query_file_as!(
                OrderRow,
                "sql/orders/by_created_at_asc.sql",
                user,
                status,
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await?
        }
        OrderSort::CreatedAtDesc => {
            sqlx::query_file_as!(
                OrderRow,
                "sql/orders/by_created_at_desc.sql",
                user,
                status,
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await?
        }
    };
    Ok(page_request.page(rows, total))
}
