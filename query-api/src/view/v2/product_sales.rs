//! The sales of a product in version 2 of the API.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Money;
use crate::read::product_sales::ProductSalesRow;

/// The sales of one product in one currency, over all time. Amounts are after discounts; a tax that
/// is added on top is not in them. A refund in part names no product, so only refunds in whole are
/// here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductSales {
    /// The product's id.
    product_id: Uuid,
    /// The currency code of all amounts.
    #[schema(example = "USD")]
    currency: String,
    /// The number of confirmed orders that were not cancelled afterwards.
    orders: i64,
    /// The number of units in these orders.
    units: i64,
    /// The gross revenue: what customers agreed to pay for these units.
    revenue: Money,
    /// The number of these orders that were refunded in whole.
    refunded_orders: i64,
    /// The number of units in the refunded orders.
    refunded_units: i64,
    /// The revenue of the refunded orders.
    refunded: Money,
    /// The net revenue: `revenue` less `refunded`.
    net: Money,
}

impl From<ProductSalesRow> for ProductSales {
    fn from(row: ProductSalesRow) -> Self {
        Self {
            product_id: row.product_id,
            revenue: Money::new(row.revenue_minor, &row.currency),
            refunded: Money::new(row.refunded_minor, &row.currency),
            net: Money::new(row.revenue_minor.saturating_sub(row.refunded_minor), &row.currency),
            currency: row.currency,
            orders: row.orders,
            units: row.units,
            refunded_orders: row.refunded_orders,
            refunded_units: row.refunded_units,
        }
    }
}
