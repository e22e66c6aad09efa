//! Questions for orders with their lines.

use std::cmp::Ordering;
use std::collections::HashMap;

use access::Scope;
use chrono::{DateTime, Utc};
use postgres_kit::{Columns, arguments};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::list::{AT_MOST, ListOf, Sorted, sorted};
use super::past::past;
use super::statement::{
    CHECKPOINT, CHECKPOINT_COLUMNS, Conditions, Statement, listed, read_all, rows_after,
};
use super::table::{Find, FindMany, by_id};
use super::{Asked, Projection, Read, Shown};
use crate::page::{Page, PageRequest, PageStart};

postgres_kit::row! {
    /// A row of `read_model.orders`.
    #[derive(Debug, Clone)]
    pub struct OrderRow {
        /// The order's id.
        pub id: Uuid,
        /// The id of the user who ordered.
        pub user_id: Uuid,
        /// The status: `pending`, `confirmed`, `paid`, `shipped`, `delivered`, `cancelled` or
        /// `refunded`.
        pub status: String,
        /// The currency code of all prices in the order, such as `USD`.
        pub currency: String,
        /// What the customer pays, in minor units of the currency: the sum over all lines, less the
        /// discount, plus a tax that they do not contain.
        pub total_minor: i64,
        /// What was taken off the sum over all lines, in minor units of the currency.
        pub discount_minor: i64,
        /// The tax, in minor units of the currency, whether the lines contain it or not.
        pub tax_minor: i64,
        /// The country that the order goes to, a code of ISO 3166-1 alpha-2.
        pub shipping_country: Option<String>,
        /// The region that the order goes to, the second part of a code of ISO 3166-2.
        pub shipping_region: Option<String>,
        /// The number of units over all lines.
        pub units: i64,
        /// The lines, in the order in which they were added.
        pub lines: Json<Vec<LineRow>>,
        /// What was paid, in minor units of the currency.
        pub paid_minor: i64,
        /// What was refunded of it, in minor units of the currency.
        pub refunded_minor: i64,
        /// The original date of an imported order, otherwise the time of confirmation.
        pub ordered_at: Option<DateTime<Utc>>,
        /// The time of the confirmation.
        pub confirmed_at: Option<DateTime<Utc>>,
        /// The time when the user asked to pay.
        pub payment_requested_at: Option<DateTime<Utc>>,
        /// The time when the payment was recorded.
        pub paid_at: Option<DateTime<Utc>>,
        /// The time when the shipment was recorded.
        pub shipped_at: Option<DateTime<Utc>>,
        /// The time when the delivery was recorded.
        pub delivered_at: Option<DateTime<Utc>>,
        /// The time of the cancellation.
        pub cancelled_at: Option<DateTime<Utc>>,
        /// Why it was cancelled; `None` if it was not, or if the event has no reason.
        pub cancel_reason: Option<String>,
        /// The products that the reason is about.
        pub cancel_products: Json<Vec<Uuid>>,
        /// The time when the latest refund was recorded.
        pub refunded_at: Option<DateTime<Utc>>,
        /// The time when the order was placed.
        pub created_at: DateTime<Utc>,
        /// The time of the last change of the row.
        pub updated_at: DateTime<Utc>,
        /// The version of the order's stream.
        pub version: i64,
        /// The position of the last event that changed the row.
        pub position: i64,
    }
}

by_id!(OrderRow in "orders", of user_id);
past!(OrderRow in "orders", of user_id);

/// The question for one order by its id.
pub type FindOrder = Find<OrderRow>;
/// The question for many orders by their ids.
pub type FindOrders = FindMany<OrderRow>;

/// A line of an order.
#[derive(Debug, Clone, Deserialize)]
pub struct LineRow {
    /// The line's id.
    pub line_id: Uuid,
    /// The id of the ordered product.
    pub product_id: Uuid,
    /// The product's name when it was ordered.
    pub product_name: String,
    /// The number of units, from 1.
    pub quantity: i64,
    /// The price of one unit, in minor units of the order's currency.
    pub unit_price_minor: i64,
}

/// The sorts of a list of orders. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderSort {
    /// By creation, oldest first.
    CreatedAtAsc,
    /// By creation, newest first.
    CreatedAtDesc,
}

/// The statements of a list sorted by creation.
const BY_CREATED_AT: Sorted<OrderRow, DateTime<Utc>, Uuid> =
    sorted!(OrderRow in "orders" [3], created_at: timestamptz, id: uuid);

/// Whether there is the user whose orders are listed.
const USER_IS_THERE: &str = "EXISTS (SELECT FROM read_model.users WHERE id = $1)";
/// The same for a user who may see only their own.
const USER_IS_OWNER: &str = "EXISTS (SELECT FROM read_model.users WHERE id = $1 AND id = $3)";

/// The question for a page of all orders.
#[derive(Debug, Clone)]
pub struct ListOrders {
    /// The orders that the caller may see.
    pub scope: Scope,
    /// Only orders of this user.
    pub user_id: Option<Uuid>,
    /// Only orders with this status.
    pub status: Option<String>,
    /// The columns to read of each row. They include those that the list is sorted by.
    pub columns: Columns,
    /// The page to read, and its sort.
    pub page_request: PageRequest<OrderSort>,
}

/// The question for a page of one user's orders. The answer is `None` if there is no such user in
/// the caller's scope.
#[derive(Debug, Clone)]
pub struct ListOrdersOfUser {
    /// The users whose orders the caller may see.
    pub scope: Scope,
    /// The id of the user.
    pub user_id: Uuid,
    /// Only orders with this status.
    pub status: Option<String>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<OrderSort>,
}

/// The question for a page of the orders of each of many users, in one statement.
///
/// The answer has a page for each user. It is empty for one who is not there, or whose orders are
/// not in the caller's scope.
#[derive(Debug, Clone)]
pub struct ListOrdersOfUsers {
    /// The users whose orders the caller may see.
    pub scope: Scope,
    /// The ids of the users, at most [`MAX_IDS`](super::table::MAX_IDS).
    pub user_ids: Vec<Uuid>,
    /// Only orders with this status.
    pub status: Option<String>,
    /// The columns to read of each row. They include those that the list is sorted by.
    pub columns: Columns,
    /// The page to read of each user's orders, and its sort. It has no number.
    pub page_request: PageRequest<OrderSort>,
}

impl OrderRow {
    /// Which of two rows comes first in this sort.
    fn compare(&self, other: &Self, sort: OrderSort) -> Ordering {
        let ascending = (self.created_at, self.id).cmp(&(other.created_at, other.id));
        match sort {
            OrderSort::CreatedAtAsc => ascending,
            OrderSort::CreatedAtDesc => ascending.reverse(),
        }
    }

    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: OrderSort) -> Value {
        match sort {
            OrderSort::CreatedAtAsc | OrderSort::CreatedAtDesc => json!([self.created_at, self.id]),
        }
    }
}

impl Read for ListOrders {
    type Answer = Page<OrderRow>;
    reads!("orders");

    fn is_planned_once(&self) -> bool {
        let is_of_user = self.user_id.is_some() || self.scope.owner().is_some();
        (is_of_user || self.status.is_none()) && !self.page_request.counts()
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("orders", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { scope, user_id, status, columns, page_request } = self;
        let conditions = conditions(*user_id, status.as_ref(), scope)?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request).of_columns(*columns);
        match page_request.sort {
            OrderSort::CreatedAtAsc => list.page(snapshot, &BY_CREATED_AT.ascending).await,
            OrderSort::CreatedAtDesc => list.page(snapshot, &BY_CREATED_AT.descending).await,
        }
    }
}

impl Read for ListOrdersOfUser {
    type Answer = Option<Page<OrderRow>>;
    reads!("users", "orders");

    fn row(&self, projection: Projection) -> Option<String> {
        // The user's row shows whether the user exists.
        (projection == "users").then(|| self.user_id.to_string())
    }

    fn is_planned_once(&self) -> bool {
        !self.page_request.counts()
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("orders", answer.iter().flat_map(|page| &page.rows).map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { scope, user_id, status, page_request } = self;
        let conditions = conditions(Some(*user_id), status.as_ref(), scope)?;
        let is_there = if scope.owner().is_some() { USER_IS_OWNER } else { USER_IS_THERE };
        let of_user = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        let list = ListOf { is_there, ..of_user };
        match page_request.sort {
            OrderSort::CreatedAtAsc => list.page_if_there(snapshot, &BY_CREATED_AT.ascending).await,
            OrderSort::CreatedAtDesc => {
                list.page_if_there(snapshot, &BY_CREATED_AT.descending).await
            }
        }
    }
}

impl Read for ListOrdersOfUsers {
    type Answer = HashMap<Uuid, Page<OrderRow>>;
    reads!("orders");

    fn is_planned_once(&self) -> bool {
        true
    }

    fn shown(answer: &Self::Answer) -> Shown {
        let rows = answer.values().flat_map(|page| &page.rows);
        Shown::list("orders", rows.map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { scope, user_ids, status, columns, page_request } = self;
        let (after, key) = page_request.after::<DateTime<Utc>, Uuid>()?;
        let statement = self.statement();
        let limit = page_request.limit();
        let arguments = arguments![user_ids, status, scope.owner(), after, key, limit]?;
        let lines = sqlx::query_with(statement.sql(), arguments).fetch_all(snapshot).await?;
        let (checkpoints, rows) = read_all::<OrderRow>(&lines, CHECKPOINT_COLUMNS, *columns)?;
        let mut of_users: HashMap<Uuid, Vec<OrderRow>> =
            user_ids.iter().map(|user_id| (*user_id, Vec::new())).collect();
        for row in rows {
            of_users.entry(row.user_id).or_default().push(row);
        }
        let page = |(user_id, mut rows): (Uuid, Vec<OrderRow>)| {
            rows.sort_unstable_by(|one, other| one.compare(other, page_request.sort));
            (user_id, page_request.page(rows, None))
        };
        Ok(Asked { data: of_users.into_iter().map(page).collect(), checkpoints })
    }
}

impl ListOrdersOfUsers {
    /// The statement of the question. The checkpoints come first, and then the rows, as on a page
    /// of a list.
    ///
    /// `$1` are the users, `$2` and `$3` the status and the caller's scope, `$4` and `$5` the key
    /// of the row before the page, and `$6` is the maximum number of rows for each user. Each user
    /// is one walk of an index.
    pub fn statement(&self) -> Statement {
        let Self { columns, page_request: PageRequest { sort, start, .. }, .. } = self;
        let columns = *columns;
        let (order, after) = match sort {
            OrderSort::CreatedAtAsc => {
                (" ORDER BY created_at ASC, id ASC", " AND (created_at, id) > ($4, $5)")
            }
            OrderSort::CreatedAtDesc => {
                (" ORDER BY created_at DESC, id DESC", " AND (created_at, id) < ($4, $5)")
            }
        };
        let mut pieces = vec!["SELECT ", CHECKPOINT];
        pieces.extend(rows_after::<OrderRow>(CHECKPOINT_COLUMNS, columns, Self::CHECKPOINTS));
        pieces.push(" FROM unnest($1::uuid[]) AS asked (asked_user) CROSS JOIN LATERAL (SELECT ");
        pieces.extend(listed::<OrderRow>(columns));
        pieces.push(" FROM (SELECT ");
        pieces.extend(listed::<OrderRow>(columns));
        pieces.push(" FROM read_model.orders WHERE user_id = asked_user");
        pieces.extend(self.status.as_ref().map(|_| " AND status = $2"));
        pieces.extend(self.scope.owner().map(|_| " AND user_id = $3"));
        pieces.extend(matches!(start, PageStart::After(_)).then_some(after));
        pieces.extend([order, AT_MOST, order, " LIMIT $6) AS page"]);
        Statement::of(&pieces)
    }
}

/// The conditions on the user, the status and the caller's scope.
fn conditions(
    user_id: Option<Uuid>,
    status: Option<&String>,
    scope: &Scope,
) -> sqlx::Result<Conditions> {
    Conditions::default()
        .when(user_id, " AND user_id = $1")?
        .when(status, " AND status = $2")?
        .when(scope.owner(), " AND user_id = $3")
}
