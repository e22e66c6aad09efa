//! A user, in the form that clients see.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::decimal;
use crate::read::user::{SumsMinor, UserRow};

/// A user with totals over confirmed orders.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    id: Uuid,
    /// Null after the user's personal data were erased.
    #[schema(required = true)]
    email: Option<String>,
    /// Null after the user's personal data were erased.
    #[schema(required = true)]
    name: Option<String>,
    #[schema(value_type = UserStatus)]
    status: String,
    /// The number of confirmed orders that were not cancelled afterwards.
    order_count: i64,
    /// The total of these orders, by currency.
    #[schema(example = json!({"USD": "87.15"}))]
    total_spent: BTreeMap<String, String>,
    /// The total of all payments, by currency.
    #[schema(example = json!({"USD": "72.48"}))]
    total_paid: BTreeMap<String, String>,
    /// The total of all refunds, by currency.
    #[schema(example = json!({"USD": "14.67"}))]
    total_refunded: BTreeMap<String, String>,
    /// The latest date of an order that was confirmed, also if it was cancelled afterwards.
    #[schema(required = true)]
    last_order_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

/// Whether a user can order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserStatus {
    Active,
    Deactivated,
}

impl UserStatus {
    /// The status as stored in its column.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            status: row.status,
            order_count: row.order_count,
            total_spent: decimals(row.total_spent.0),
            total_paid: decimals(row.total_paid.0),
            total_refunded: decimals(row.total_refunded.0),
            last_order_at: row.last_order_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// Sums as decimal numbers, by currency.
fn decimals(sums: SumsMinor) -> BTreeMap<String, String> {
    let decimals = sums.into_iter().map(|(currency, minor)| {
        let amount = decimal(minor, &currency);
        (currency, amount)
    });
    decimals.collect()
}
