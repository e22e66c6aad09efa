//! The funnel of the orders of a day, in the form that clients see.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::read::funnel::FunnelDayRow;

/// How far the orders came that were placed on a day. Imported orders are not in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunnelDay {
    /// The day on which the orders were placed, in UTC.
    day: NaiveDate,
    /// The number of orders placed.
    placed: i64,
    /// The number of those that were confirmed.
    confirmed: i64,
    /// The number of those that were paid.
    paid: i64,
    /// The number of those that were shipped.
    shipped: i64,
    /// The number of those that were delivered.
    delivered: i64,
    /// The number of those that were cancelled, after whichever step.
    cancelled: i64,
    /// The mean times between the steps.
    mean_seconds: FunnelTimes,
}

/// Mean times between the steps of orders, in whole seconds. Each is over the orders that took the
/// second step, and null while there are none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunnelTimes {
    /// From the placement to the confirmation.
    #[schema(required = true)]
    placed_to_confirmed: Option<i64>,
    /// From the confirmation to the payment.
    #[schema(required = true)]
    confirmed_to_paid: Option<i64>,
    /// From the payment to the shipment.
    #[schema(required = true)]
    paid_to_shipped: Option<i64>,
    /// From the shipment to the delivery.
    #[schema(required = true)]
    shipped_to_delivered: Option<i64>,
}

impl From<FunnelDayRow> for FunnelDay {
    fn from(row: FunnelDayRow) -> Self {
        let mean_seconds = FunnelTimes {
            placed_to_confirmed: mean_seconds(row.confirm_ms, row.confirmed),
            confirmed_to_paid: mean_seconds(row.pay_ms, row.paid),
            paid_to_shipped: mean_seconds(row.ship_ms, row.shipped),
            shipped_to_delivered: mean_seconds(row.deliver_ms, row.delivered),
        };
        Self {
            day: row.day,
            placed: row.placed,
            confirmed: row.confirmed,
            paid: row.paid,
            shipped: row.shipped,
            delivered: row.delivered,
            cancelled: row.cancelled,
            mean_seconds,
        }
    }
}

/// The mean of a sum of milliseconds over `count` orders, in whole seconds.
fn mean_seconds(sum_ms: i64, count: i64) -> Option<i64> {
    sum_ms.checked_div(count).map(|mean| mean / 1_000)
}

#[cfg(test)]
mod tests {
    use super::mean_seconds;

    #[test]
    fn a_mean_is_over_those_that_took_the_step_and_absent_without_any() {
        assert_eq!(mean_seconds(9_000, 2), Some(4));
        assert_eq!(mean_seconds(999, 1), Some(0));
        assert_eq!(mean_seconds(0, 0), None);
    }
}
