//! A customer at risk in version 2 of the API.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::{Money, sums};
use crate::read::customer::CustomerRow;
use crate::view::user::net;

/// A customer with recency, frequency and value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerAtRisk {
    /// The user's id.
    user_id: Uuid,
    /// The time when the next order would be usual: the latest order plus the mean time between
    /// orders, or plus 90 days after a single one. From then on the customer is at risk.
    #[schema(required = true)]
    due_at: Option<DateTime<Utc>>,
    /// Frequency: the number of confirmed orders that were not cancelled afterwards.
    order_count: i64,
    /// The date of the first order that was confirmed, also if it was cancelled afterwards.
    #[schema(required = true)]
    first_order_at: Option<DateTime<Utc>>,
    /// Recency: the date of the latest order that was confirmed, also if it was cancelled
    /// afterwards.
    #[schema(required = true)]
    last_order_at: Option<DateTime<Utc>>,
    /// Value: the gross total of the orders that count, by currency.
    total_spent: Vec<Money>,
    /// What was refunded of these orders, by currency.
    total_refunded: Vec<Money>,
    /// The net total: `total_spent` less `total_refunded`, by currency.
    total_net: Vec<Money>,
}

impl From<CustomerRow> for CustomerAtRisk {
    fn from(row: CustomerRow) -> Self {
        Self {
            user_id: row.id,
            due_at: row.due_at,
            order_count: row.order_count,
            first_order_at: row.first_order_at,
            last_order_at: row.last_order_at,
            total_net: sums(net(&row.total_spent.0, &row.total_refunded.0)),
            total_spent: sums(row.total_spent.0),
            total_refunded: sums(row.total_refunded.0),
        }
    }
}
