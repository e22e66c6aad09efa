//! The sales of a day in version 2 of the API.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
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
    revenue: Money,
    /// What was refunded of these orders.
    refunded: Money,
    /// The net revenue: `revenue` less `refunded`.
    net: Money,
    /// All payments for orders of the day, also for those that were cancelled afterwards.
    paid: Money,
    /// All refunds of orders of the day, also of those that were cancelled.
    paid_back: Money,
}

impl From<DailySalesRow> for DailySales {
    fn from(row: DailySalesRow) -> Self {
        Self {
            day: row.day,
            revenue: Money::new(row.revenue_minor, &row.currency),
            refunded: Money::new(row.refunded_minor, &row.currency),
            net: Money::new(row.revenue_minor.saturating_sub(row.refunded_minor), &row.currency),
            paid: Money::new(row.paid_minor, &row.currency),
            paid_back: Money::new(row.paid_back_minor, &row.currency),
            currency: row.currency,
            orders: row.orders,
            units: row.units,
        }
    }
}
