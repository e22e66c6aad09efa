//! A customer at risk, in the form that clients see.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::user::{decimals, net};
use crate::read::customer::CustomerRow;

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
    #[schema(example = json!({"USD": "87.15"}))]
    total_spent: BTreeMap<String, String>,
    /// What was refunded of these orders, by currency.
    #[schema(example = json!({"USD": "14.67"}))]
    total_refunded: BTreeMap<String, String>,
    /// The net total: `total_spent` less `total_refunded`, by currency.
    #[schema(example = json!({"USD": "72.48"}))]
    total_net: BTreeMap<String, String>,
}

impl From<CustomerRow> for CustomerAtRisk {
    fn from(row: CustomerRow) -> Self {
        Self {
            user_id: row.id,
            due_at: row.due_at,
            order_count: row.order_count,
            first_order_at: row.first_order_at,
            last_order_at: row.last_order_at,
            total_net: decimals(net(&row.total_spent.0, &row.total_refunded.0)),
            total_spent: decimals(row.total_spent.0),
            total_refunded: decimals(row.total_refunded.0),
        }
    }
}
