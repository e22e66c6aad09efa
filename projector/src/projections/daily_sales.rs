//! `daily_sales`: one row per day (UTC) and currency, with the orders confirmed for that day. The
//! day is that of `ordered_at`: an import's historical date, otherwise the time of the confirmation.

use chrono::NaiveDate;
use domain::DomainEvent;
use domain::order::event::{OrderConfirmed, OrderEvent};
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, TooLarge, add, row};
use serde::Serialize;

/// The type of the counted event.
const CONFIRMED: &str = "order.confirmed";

/// The projection of daily sales. Its fold only adds, so the order of events does not matter.
pub struct DailySales;

row! {
    /// A row of `daily_sales`.
    #[derive(Debug, Clone, Serialize)]
    pub struct SalesRow in daily_sales by (day: NaiveDate, currency: String) {
        orders: i64,
        units: i64,
        revenue_minor: i64,
        position: i64,
    }
}

impl Projection for DailySales {
    const NAME: &'static str = "daily_sales";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = include_str!("daily_sales/tables.sql");
    const INDEXES: &'static str = include_str!("daily_sales/indexes.sql");
    const COMMUTES: bool = true;
    const SPLIT: Split = Split::Never(
        "its rows are sums that are read side by side: days would be at different positions",
    );
    type Event = OrderConfirmed;
    type Key = (NaiveDate, String);
    type Row = SalesRow;

    fn handles() -> Vec<&'static str> {
        vec![CONFIRMED]
    }

    fn read(event: &RecordedEvent) -> Option<Result<OrderConfirmed, Reason>> {
        match OrderEvent::from_parts(
            event.event_type.as_str(),
            event.schema_version,
            event.data.get(),
        )? {
            Ok(OrderEvent::Confirmed(confirmed)) => Some(Ok(confirmed)),
            Ok(_) => None,
            Err(unreadable) => Some(Err(unreadable.into())),
        }
    }

    fn keys(confirmed: &OrderConfirmed) -> Vec<Self::Key> {
        vec![(confirmed.ordered_at.date_naive(), confirmed.total.currency().code().to_owned())]
    }

    fn fold(
        key: &Self::Key,
        row: Option<SalesRow>,
        incoming: &Incoming<OrderConfirmed>,
    ) -> Result<SalesRow, Reason> {
        let confirmed = &incoming.event;
        let (day, currency) = key.clone();
        let row = row.unwrap_or(SalesRow {
            day,
            currency,
            orders: 0,
            units: 0,
            revenue_minor: 0,
            position: 0,
        });
        Ok(SalesRow {
            orders: add(row.orders, 1)?,
            units: add(row.units, i64::try_from(confirmed.units).map_err(|_| TooLarge)?)?,
            revenue_minor: add(row.revenue_minor, confirmed.total.minor())?,
            position: row.position.max(incoming.position.0),
            ..row
        })
    }
}
