//! A product in version 2 of the API.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Money;
use crate::read::product::ProductRow;

/// A product with its price and stock.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Product {
    /// The product's id.
    id: Uuid,
    /// The product's name.
    name: String,
    /// The price of one unit.
    unit_price: Money,
    /// The rate class, which taxes depend on: `standard`, `reduced` or `zero`.
    #[schema(example = "standard")]
    rate_class: String,
    /// The number of units on hand, with the reserved ones.
    stock: i64,
    /// The number of units on hand that are reserved for confirmed orders.
    reserved: i64,
    /// The number of units that can be ordered: those on hand that are not reserved.
    available: i64,
    /// The time when the product was added.
    created_at: DateTime<Utc>,
    /// The time of the latest change.
    updated_at: DateTime<Utc>,
    /// The version of the product. Each change raises it.
    version: i64,
}

impl From<ProductRow> for Product {
    fn from(row: ProductRow) -> Self {
        Self {
            id: row.id,
            unit_price: Money::new(row.unit_price_minor, &row.currency),
            name: row.name,
            rate_class: row.rate_class,
            stock: row.stock,
            reserved: row.reserved,
            available: row.stock.saturating_sub(row.reserved),
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
