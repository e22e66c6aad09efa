//! Questions for users, with totals over their confirmed orders.

use std::collections::BTreeMap;

use access::Scope;
use chrono::{DateTime, Utc};
use postgres_kit::Columns;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::past::past;
use super::statement::Conditions;
use super::table::{Find, FindMany, by_id};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

/// Sums in minor units, by currency code.
pub type SumsMinor = BTreeMap<String, i64>;

postgres_kit::row! {
    /// A row of `read_model.users`.
    #[derive(Debug, Clone)]
    pub struct UserRow {
        /// The user's id.
        pub id: Uuid,
        /// The e-mail address, or `None` after it was erased.
        pub email: Option<String>,
        /// The person's name, or `None` after it was erased.
        pub name: Option<String>,
        /// The status: `active` or `deactivated`.
        pub status: String,
        /// The type of the customer: `consumer`, `business` or `reseller`.
        pub customer_type: String,
        /// The name that others see, or `None` if there is none or it was erased.
        pub display_name: Option<String>,
        /// The person's locale, or `None` if there is none or it was erased.
        pub locale: Option<String>,
        /// The telephone number, or `None` if there is none or it was erased.
        pub phone: Option<String>,
        /// The preferred language.
        pub language: Option<String>,
        /// The preferred currency.
        pub currency: Option<String>,
        /// Whether the user wants the newsletter.
        pub newsletter: bool,
        /// The addresses, in the sequence in which they were added.
        pub addresses: Json<Vec<AddressColumn>>,
        /// The number of confirmed orders that were not cancelled afterwards.
        pub order_count: i64,
        /// The gross total of these orders, by currency.
        pub total_spent: Json<SumsMinor>,
        /// The total of all payments, also for cancelled orders, by currency.
        pub total_paid: Json<SumsMinor>,
        /// What was refunded of the orders that count, by currency.
        pub total_refunded: Json<SumsMinor>,
        /// The total of all refunds, also of cancelled orders, by currency.
        pub total_paid_back: Json<SumsMinor>,
        /// The latest date of a confirmed order, also if it was cancelled afterwards.
        pub last_order_at: Option<DateTime<Utc>>,
        /// The time of the registration.
        pub created_at: DateTime<Utc>,
        /// The time of the last change of the row.
        pub updated_at: DateTime<Utc>,
        /// The version of the user's stream.
        pub version: i64,
        /// The position of the last event that changed the row.
        pub position: i64,
    }
}

/// An address in the column `addresses`. Its texts are `None` after they were erased.
#[derive(Debug, Clone, Deserialize)]
pub struct AddressColumn {
    /// The id of the address.
    pub id: Uuid,
    /// What the user calls it.
    pub label: Option<String>,
    /// The person or company that receives.
    pub recipient: Option<String>,
    /// The street with the number of the house.
    pub street: Option<String>,
    /// The city or town.
    pub city: Option<String>,
    /// The postal code.
    pub postal_code: Option<String>,
    /// The country.
    pub country: String,
    /// The region of the country.
    pub region: Option<String>,
}

by_id!(UserRow in "users", of id);
past!(UserRow in "users", of id);

/// The question for one user by id.
pub type FindUser = Find<UserRow>;
/// The question for many users by their ids.
pub type FindUsers = FindMany<UserRow>;

/// The sorts of a list of users. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserSort {
    /// By registration, oldest first.
    CreatedAtAsc,
    /// By registration, newest first.
    CreatedAtDesc,
    /// Fewest orders first.
    OrderCountAsc,
    /// Most orders first.
    OrderCountDesc,
}

/// The statements of a list sorted by registration.
const BY_CREATED_AT: Sorted<UserRow, DateTime<Utc>, Uuid> =
    sorted!(UserRow in "users" [3], created_at: timestamptz, id: uuid);
/// The statements of a list sorted by the number of orders.
const BY_ORDER_COUNT: Sorted<UserRow, i64, Uuid> =
    sorted!(UserRow in "users" [3], order_count: bigint, id: uuid);

/// The question for a page of users.
#[derive(Debug, Clone)]
pub struct ListUsers {
    /// The users that the caller may see.
    pub scope: Scope,
    /// Only users with this status.
    pub status: Option<String>,
    /// Only the user with this normalised e-mail address.
    pub email: Option<String>,
    /// The columns to read of each row. They include those that the list is sorted by.
    pub columns: Columns,
    /// The page to read, and its sort.
    pub page_request: PageRequest<UserSort>,
}

impl UserRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
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

    fn is_planned_once(&self) -> bool {
        let is_of_user = self.email.is_some() || self.scope.owner().is_some();
        (is_of_user || self.status.is_none()) && !self.page_request.counts()
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("users", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { scope, status, email, columns, page_request } = self;
        let conditions = Conditions::default()
            .when(status.as_ref(), " AND status = $1")?
            .when(email.as_ref(), " AND lower(email COLLATE \"C\") = $2")?
            .when(scope.owner(), " AND id = $3")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request).of_columns(*columns);
        match page_request.sort {
            UserSort::CreatedAtAsc => list.page(snapshot, &BY_CREATED_AT.ascending).await,
            UserSort::CreatedAtDesc => list.page(snapshot, &BY_CREATED_AT.descending).await,
            UserSort::OrderCountAsc => list.page(snapshot, &BY_ORDER_COUNT.ascending).await,
            UserSort::OrderCountDesc => list.page(snapshot, &BY_ORDER_COUNT.descending).await,
        }
    }
}
