//! The sales of a day, in the form that clients see.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::decimal;
use crate::read::sales::DailySalesRow;

/// The sales of one day in one currency. Everything about an order counts on the day of its sale:
/// the original date of an imported order, otherwise the day of the confirmation. So a later
/// cancellation or refund changes that day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DailySales {
    /// The day, in UTC.
    day: NaiveDate,
    /// The currency code of all amounts.
    #[schema(example = "USD")]
    currency: String,
    /// The number of confirmed orders that were not cancelled afterwards.
    orders: i64,
    /// The number of units in these orders.
    units: i64,
    /// The gross revenue: what customers agreed to pay for these orders, after discounts and with
    /// tax.
    #[schema(example = "87.15")]
    revenue: String,
    /// What was refunded of these orders.
    #[schema(example = "14.67")]
    refunded: String,
    /// The net revenue: `revenue` less `refunded`.
    #[schema(example = "72.48")]
    net: String,
    /// All payments for orders of the day, also for those that were cancelled afterwards.
    #[schema(example = "72.48")]
    paid: String,
    /// All refunds of orders of the day, also of those that were cancelled.
    #[schema(example = "14.67")]
    paid_back: String,
}

impl From<DailySalesRow> for DailySales {
    fn from(row: DailySalesRow) -> Self {
        Self {
            day: row.day,
            revenue: decimal(row.revenue_minor, &row.currency),
            refunded: decimal(row.refunded_minor, &row.currency),
            net: decimal(row.revenue_minor.saturating_sub(row.refunded_minor), &row.currency),
            paid: decimal(row.paid_minor, &row.currency),
            paid_back: decimal(row.paid_back_minor, &row.currency),
            currency: row.currency,
            orders: row.orders,
            units: row.units,
        }
    }
}
