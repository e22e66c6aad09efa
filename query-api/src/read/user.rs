//! Users, with their figures over confirmed orders.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres_kit::arguments;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::table::{Find, FindMany, ListOf, Sorted, by_id, count, sorted};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

/// Sums in minor units by currency.
pub type SumsMinor = BTreeMap<String, i64>;

postgres_kit::row! {
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
        /// How many of the user's orders were confirmed.
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
}

by_id!(UserRow in "users");

/// Asks for one user by id.
pub type FindUser = Find<UserRow>;
/// Asks for many users by their ids.
pub type FindUsers = FindMany<UserRow>;

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

/// A status, and an address in its normalised form.
const FILTER: &str = r#"($1::text IS NULL OR status = $1)
    AND ($2::text IS NULL OR lower(email COLLATE "C") = $2)"#;
const COUNT: &str = count!("users", FILTER);
/// Sorted by creation.
pub const BY_CREATED_AT: Sorted<UserRow, DateTime<Utc>, Uuid> =
    sorted!(UserRow in "users", FILTER[2], created_at: timestamptz, id: uuid);
/// Sorted by the number of orders.
pub const BY_ORDER_COUNT: Sorted<UserRow, i64, Uuid> =
    sorted!(UserRow in "users", FILTER[2], order_count: bigint, id: uuid);

/// A list of users.
#[derive(Debug, Clone)]
pub struct ListUsers {
    /// Only with this status.
    pub status: Option<String>,
    /// Only with this address, normalised.
    pub email: Option<String>,
    /// Which page, in which order.
    pub page_request: PageRequest<UserSort>,
}

impl UserRow {
    /// Where a list in this sort goes on after the row: the columns that it is sorted by.
    pub fn key(&self, sort: UserSort) -> Value {
        match sort {
            UserSort::CreatedAtAsc | UserSort::CreatedAtDesc => json!([self.created_at, self.id]),
            UserSort::OrderCountAsc | UserSort::OrderCountDesc => {
                json!([self.order_count, self.id])
            }
        }
    }
}

impl Read for ListUsers {
    type Answer = Page<UserRow>;
    reads!("users");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("users", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { status, email, page_request } = self;
        let list = ListOf { count: COUNT, filters: arguments![status, email]?, page_request };
        let page = match page_request.sort {
            UserSort::CreatedAtAsc => list.page(snapshot, &BY_CREATED_AT.ascending).await?,
            UserSort::CreatedAtDesc => list.page(snapshot, &BY_CREATED_AT.descending).await?,
            UserSort::OrderCountAsc => list.page(snapshot, &BY_ORDER_COUNT.ascending).await?,
            UserSort::OrderCountDesc => list.page(snapshot, &BY_ORDER_COUNT.descending).await?,
        };
        Ok(page.into())
    }
}
