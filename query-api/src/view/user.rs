//! A user, in the form that clients see.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::decimal;
use crate::read::user::UserRow;

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
    /// The number of confirmed orders.
    order_count: i64,
    /// The total of all confirmed orders, by currency.
    #[schema(example = json!({"USD": "87.15"}))]
    total_spent: BTreeMap<String, String>,
    /// The latest date of a confirmed order.
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
        let total_spent = row.total_spent.0.into_iter().map(|(currency, minor)| {
            let amount = decimal(minor, &currency);
            (currency, amount)
        });
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            status: row.status,
            order_count: row.order_count,
            total_spent: total_spent.collect(),
            last_order_at: row.last_order_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
