//! `daily_sales`: one row per day (UTC) and currency. Everything about an order counts on the day
//! of its sale, also what happens to it later: `ordered_at`, which is an import's historical date,
//! otherwise the time of the confirmation.
//!
//! - `orders`, `units` and `revenue_minor` (gross): what customers agreed to pay, after discounts
//!   and with tax, for orders that were confirmed and not cancelled afterwards.
//! - `refunded_minor`: what was refunded of these orders. The net is the revenue less that.
//! - `paid_minor` and `paid_back_minor`: all payments and all refunds, also of cancelled orders.

use chrono::{DateTime, NaiveDate, Utc};
use domain::DomainEvent;
use domain::order::event::{
    OrderConfirmed, OrderEvent, OrderPaid, OrderRefunded, OrderSaleCancelled,
};
use domain::value::Money;
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, TooLarge, add, row};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::returns::Returns;

/// The types of the counted events.
pub(super) const COUNTED: [&str; 4] =
    ["order.confirmed", "order.sale_cancelled", "order.paid", "order.refunded"];

/// What an event changes in the figures of a day.
#[derive(Debug, Clone)]
pub struct Change {
    order_id: Uuid,
    /// The time of the sale.
    ordered_at: DateTime<Utc>,
    amount: Money,
    what: What,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy)]
enum What {
    /// It was sold, with this number of units.
    Sold(i64),
    /// Its sale no longer counts, with this number of units.
    Cancelled(i64),
    Paid,
    Refunded,
}

impl Change {
    /// The change of an event, if it is a counted one.
    fn of(event: &OrderEvent) -> Option<Result<Self, TooLarge>> {
        let counted = |units: u64| i64::try_from(units).map_err(|_| TooLarge);
        let (order_id, ordered_at, amount, what) = match event {
            OrderEvent::Confirmed(OrderConfirmed {
                order_id, total, units, ordered_at, ..
            }) => (order_id, ordered_at, total, counted(*units).map(What::Sold)),
            OrderEvent::SaleCancelled(OrderSaleCancelled {
                order_id,
                total,
                units,
                ordered_at,
                ..
            }) => (order_id, ordered_at, total, counted(*units).map(What::Cancelled)),
            OrderEvent::Paid(OrderPaid { order_id, amount, ordered_at, .. }) => {
                (order_id, ordered_at, amount, Ok(What::Paid))
            }
            OrderEvent::Refunded(OrderRefunded { order_id, amount, ordered_at, .. }) => {
                (order_id, ordered_at, amount, Ok(What::Refunded))
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
        };
        let (order_id, ordered_at, amount) = (*order_id, *ordered_at, *amount);
        Some(what.map(|what| Self { order_id, ordered_at, amount, what }))
    }
}

/// The projection of daily sales.
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
        paid_back_minor: i64,
        returns: Json<Returns> => private,
        position: i64,
    }
}

impl Projection for DailySales {
    const NAME: &'static str = "daily_sales";
    const FOLD_VERSION: i32 = 5;
    const TABLES: &'static str = include_str!("daily_sales/tables.sql");
    const INDEXES: &'static str = include_str!("daily_sales/indexes.sql");
    const HISTORY: bool = true;
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
        vec![(change.ordered_at.date_naive(), change.amount.currency().code().to_owned())]
    }

    fn fold(
        key: &Self::Key,
        row: Option<SalesRow>,
        incoming: &Incoming<Change>,
    ) -> Result<SalesRow, Reason> {
        let change = &incoming.event;
        let (day, currency) = key.clone();
        let mut row = row.unwrap_or_else(|| SalesRow {
            day,
            currency,
            orders: 0,
            units: 0,
            revenue_minor: 0,
            paid_minor: 0,
            refunded_minor: 0,
            paid_back_minor: 0,
            returns: Json(Returns::default()),
            position: 0,
        });
        row.apply(change)?;
        row.position = incoming.position.0;
        Ok(row)
    }
}

impl SalesRow {
    fn apply(&mut self, change: &Change) -> Result<(), TooLarge> {
        let minor = change.amount.minor();
        match change.what {
            What::Sold(units) => {
                self.orders = add(self.orders, 1)?;
                self.units = add(self.units, units)?;
                self.revenue_minor = add(self.revenue_minor, minor)?;
            }
            What::Cancelled(units) => {
                self.orders = add(self.orders, -1)?;
                self.units = add(self.units, -units)?;
                self.revenue_minor = add(self.revenue_minor, -minor)?;
                let no_longer = self.returns.0.cancel(change.order_id);
                self.refunded_minor = add(self.refunded_minor, -no_longer)?;
            }
            What::Paid => self.paid_minor = add(self.paid_minor, minor)?,
            What::Refunded => {
                self.paid_back_minor = add(self.paid_back_minor, minor)?;
                let counts = self.returns.0.refund(change.order_id, minor)?;
                self.refunded_minor = add(self.refunded_minor, counts)?;
            }
        }
        Ok(())
    }
}
