//! A user in version 2 of the API.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::{Money, sums};
use crate::read::user::UserRow;
use crate::view::user::{Address, CustomerType, UserStatus, net};

/// A user with totals over confirmed orders. The profile and the preferences have addresses of
/// their own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// The user's id.
    id: Uuid,
    /// The e-mail address. Null after the user's personal data were erased.
    #[schema(required = true)]
    email: Option<String>,
    /// The person's name. Null after the user's personal data were erased.
    #[schema(required = true)]
    name: Option<String>,
    /// Whether the user can order.
    #[schema(value_type = UserStatus)]
    status: String,
    /// What kind of customer the user is.
    #[schema(value_type = CustomerType)]
    customer_type: String,
    /// The addresses, in the sequence in which they were added.
    addresses: Vec<Address>,
    /// The number of confirmed orders that were not cancelled afterwards.
    order_count: i64,
    /// The gross total of these orders, by currency.
    total_spent: Vec<Money>,
    /// What was refunded of these orders, by currency.
    total_refunded: Vec<Money>,
    /// The net total: `total_spent` less `total_refunded`, by currency.
    total_net: Vec<Money>,
    /// The total of all payments, by currency, also for orders that were cancelled afterwards.
    total_paid: Vec<Money>,
    /// The total of all refunds, by currency, also of cancelled orders.
    total_paid_back: Vec<Money>,
    /// The latest date of an order that was confirmed, also if it was cancelled afterwards.
    #[schema(required = true)]
    last_order_at: Option<DateTime<Utc>>,
    /// The time when the user was registered.
    created_at: DateTime<Utc>,
    /// The time of the latest change.
    updated_at: DateTime<Utc>,
    /// The version of the user. Each change raises it.
    version: i64,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            status: row.status,
            customer_type: row.customer_type,
            addresses: row.addresses.0.into_iter().map(Address::of).collect(),
            order_count: row.order_count,
            total_net: sums(net(&row.total_spent.0, &row.total_refunded.0)),
            total_spent: sums(row.total_spent.0),
            total_refunded: sums(row.total_refunded.0),
            total_paid: sums(row.total_paid.0),
            total_paid_back: sums(row.total_paid_back.0),
            last_order_at: row.last_order_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
