//! `daily_sales`: one row per day (UTC) and currency, with the orders confirmed for that day and not
//! cancelled afterwards, and with what was paid and refunded for the orders of that day. The day is
//! that of `ordered_at`: an import's historical date, otherwise the time of the confirmation. The
//! revenue is what customers agreed to pay: after discounts, and with tax.

use chrono::{DateTime, NaiveDate, Utc};
use domain::DomainEvent;
use domain::order::event::{
    OrderConfirmed, OrderEvent, OrderPaid, OrderRefunded, OrderSaleCancelled,
};
use domain::value::Money;
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, TooLarge, add, row};
use serde::Serialize;

/// The types of the counted events.
pub(super) const COUNTED: [&str; 4] =
    ["order.confirmed", "order.sale_cancelled", "order.paid", "order.refunded"];

/// What an event changes in the figures of a day.
#[derive(Debug, Clone)]
pub struct Change {
    /// The time of the sale.
    ordered_at: DateTime<Utc>,
    currency: String,
    orders: i64,
    units: i64,
    revenue_minor: i64,
    paid_minor: i64,
    refunded_minor: i64,
}

impl Change {
    fn at(ordered_at: DateTime<Utc>, amount: Money) -> Self {
        let currency = amount.currency().code().to_owned();
        let (orders, units, revenue_minor, paid_minor, refunded_minor) = (0, 0, 0, 0, 0);
        Self { ordered_at, currency, orders, units, revenue_minor, paid_minor, refunded_minor }
    }

    /// The change of an event, if it is a counted one.
    fn of(event: &OrderEvent) -> Option<Result<Self, TooLarge>> {
        let units = |units: u64| i64::try_from(units).map_err(|_| TooLarge);
        Some(match event {
            OrderEvent::Confirmed(OrderConfirmed { total, units: sold, ordered_at, .. }) => {
                units(*sold).map(|units| Self {
                    orders: 1,
                    units,
                    revenue_minor: total.minor(),
                    ..Self::at(*ordered_at, *total)
                })
            }
            OrderEvent::SaleCancelled(OrderSaleCancelled {
                total,
                units: sold,
                ordered_at,
                ..
            }) => units(*sold).map(|units| Self {
                orders: -1,
                units: -units,
                revenue_minor: -total.minor(),
                ..Self::at(*ordered_at, *total)
            }),
            OrderEvent::Paid(OrderPaid { amount, ordered_at, .. }) => {
                Ok(Self { paid_minor: amount.minor(), ..Self::at(*ordered_at, *amount) })
            }
            OrderEvent::Refunded(OrderRefunded { amount, ordered_at, .. }) => {
                Ok(Self { refunded_minor: amount.minor(), ..Self::at(*ordered_at, *amount) })
            }
            OrderEvent::Placed(_)
            | OrderEvent::ShippingAddressSet(_)
            | OrderEvent::Priced(_)
            | OrderEvent::LineAdded(_)
            | OrderEvent::LineRemoved(_)
            | OrderEvent::Cancelled(_)
            | OrderEvent::PaymentRequested(_)
            | OrderEvent::Shipped(_)
            | OrderEvent::Delivered(_) => return None,
        })
    }
}

/// The projection of daily sales. Its fold only adds, so the order of events does not matter.
pub struct DailySales;

row! {
    /// A row of `daily_sales`.
    #[derive(Debug, Clone, Serialize)]
    pub struct SalesRow in daily_sales by (day: NaiveDate, currency: String) {
        orders: i64,
        units: i64,
        revenue_minor: i64,
        paid_minor: i64,
        refunded_minor: i64,
        position: i64,
    }
}

impl Projection for DailySales {
    const NAME: &'static str = "daily_sales";
    const FOLD_VERSION: i32 = 2;
    const TABLES: &'static str = include_str!("daily_sales/tables.sql");
    const INDEXES: &'static str = include_str!("daily_sales/indexes.sql");
    const COMMUTES: bool = true;
    const SPLIT: Split = Split::Never(
        "its rows are sums that are read side by side: days would be at different positions",
    );
    type Event = Change;
    type Key = (NaiveDate, String);
    type Row = SalesRow;

    fn handles() -> Vec<&'static str> {
        COUNTED.to_vec()
    }

    fn read(event: &RecordedEvent) -> Option<Result<Change, Reason>> {
        match OrderEvent::from_parts(
            event.event_type.as_str(),
            event.schema_version,
            event.data.get(),
        )? {
            Ok(event) => Change::of(&event).map(|change| change.map_err(Into::into)),
            Err(unreadable) => Some(Err(unreadable.into())),
        }
    }

    fn keys(change: &Change) -> Vec<Self::Key> {
        vec![(change.ordered_at.date_naive(), change.currency.clone())]
    }

    fn fold(
        key: &Self::Key,
        row: Option<SalesRow>,
        incoming: &Incoming<Change>,
    ) -> Result<SalesRow, Reason> {
        let change = &incoming.event;
        let (day, currency) = key.clone();
        let row = row.unwrap_or(SalesRow {
            day,
            currency,
            orders: 0,
            units: 0,
            revenue_minor: 0,
            paid_minor: 0,
            refunded_minor: 0,
            position: 0,
        });
        Ok(SalesRow {
            orders: add(row.orders, change.orders)?,
            units: add(row.units, change.units)?,
            revenue_minor: add(row.revenue_minor, change.revenue_minor)?,
            paid_minor: add(row.paid_minor, change.paid_minor)?,
            refunded_minor: add(row.refunded_minor, change.refunded_minor)?,
            position: row.position.max(incoming.position.0),
            ..row
        })
    }
}
