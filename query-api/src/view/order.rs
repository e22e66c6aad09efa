//! An order with its lines, in the form that clients see.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::decimal;
use crate::read::order::{LineRow, OrderRow};

/// An order with its lines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Order {
    id: Uuid,
    user_id: Uuid,
    #[schema(value_type = OrderStatus)]
    status: String,
    /// The currency code of all prices in the order.
    #[schema(example = "USD")]
    currency: String,
    /// The sum over all lines, as a decimal number of the currency.
    #[schema(example = "29.34")]
    total: String,
    /// The number of units over all lines.
    units: i64,
    lines: Vec<Line>,
    /// The original date of an imported order, otherwise the time of confirmation.
    #[schema(required = true)]
    ordered_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    confirmed_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    cancelled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    #[serde(rename = "line_id")]
    id: Uuid,
    product_id: Uuid,
    /// The product's name when it was ordered.
    product_name: String,
    quantity: i64,
    /// The price of one unit, as a decimal number of the currency.
    #[schema(example = "14.67")]
    unit_price: String,
    #[schema(example = "USD")]
    currency: String,
}

/// The status of an order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderStatus {
    Pending,
    Confirmed,
    Cancelled,
}

impl OrderStatus {
    /// The status as stored in its column.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Line {
    fn new(row: LineRow, currency: &str) -> Self {
        Self {
            id: row.line_id,
            product_id: row.product_id,
            product_name: row.product_name,
            quantity: row.quantity,
            unit_price: decimal(row.unit_price_minor, currency),
            currency: currency.to_owned(),
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            status: row.status,
            total: decimal(row.total_minor, &row.currency),
            units: row.units,
            lines: row.lines.0.into_iter().map(|line| Line::new(line, &row.currency)).collect(),
            currency: row.currency,
            ordered_at: row.ordered_at,
            confirmed_at: row.confirmed_at,
            cancelled_at: row.cancelled_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
