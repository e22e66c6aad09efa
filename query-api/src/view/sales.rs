//! The sales of a day, in the form that clients see.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::decimal;
use crate::read::sales::DailySalesRow;

/// The sales of one day in one currency, of confirmed orders that were not cancelled afterwards.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DailySales {
    /// The day, in UTC.
    day: NaiveDate,
    /// The currency code of all amounts.
    #[schema(example = "USD")]
    currency: String,
    /// The number of orders.
    orders: i64,
    /// The number of units.
    units: i64,
    /// What customers agreed to pay: after discounts, and with tax.
    #[schema(example = "87.15")]
    revenue: String,
    /// What was paid for the orders of the day.
    #[schema(example = "72.48")]
    paid: String,
    /// What was refunded for the orders of the day.
    #[schema(example = "14.67")]
    refunded: String,
}

impl From<DailySalesRow> for DailySales {
    fn from(row: DailySalesRow) -> Self {
        Self {
            day: row.day,
            revenue: decimal(row.revenue_minor, &row.currency),
            paid: decimal(row.paid_minor, &row.currency),
            refunded: decimal(row.refunded_minor, &row.currency),
            currency: row.currency,
            orders: row.orders,
            units: row.units,
        }
    }
}
