//! `order_funnel`: one row per order, with the times of its steps from the placement to the
//! delivery. The table `order_funnel_days` has the sums over the orders placed on each day (UTC);
//! `triggers.sql` maintains them.
//!
//! An order that was imported from another system took its steps there, so it does not count.

use chrono::{DateTime, Utc};
use domain::DomainEvent;
use domain::order::event::OrderEvent;
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, row};
use serde::Serialize;
use uuid::Uuid;

/// The types of the events that are a step of an order, or its end before the delivery.
const STEPS: [&str; 7] = [
    "order.placed",
    "order.confirmed",
    "order.paid",
    "order.shipped",
    "order.delivered",
    "order.cancelled",
    "order.sale_cancelled",
];

/// The projection of the steps of orders.
pub struct OrderFunnel;

row! {
    /// A row of `order_funnel`.
    #[derive(Debug, Clone, Serialize)]
    pub struct StepsRow in order_funnel by (id: Uuid) {
        is_import: bool,
        placed_at: DateTime<Utc>,
        confirmed_at: Option<DateTime<Utc>>,
        paid_at: Option<DateTime<Utc>>,
        shipped_at: Option<DateTime<Utc>>,
        delivered_at: Option<DateTime<Utc>>,
        cancelled_at: Option<DateTime<Utc>>,
        position: i64,
    }
}

impl Projection for OrderFunnel {
    const NAME: &'static str = "order_funnel";
    const FOLD_VERSION: i32 = 2;
    const TABLES: &'static str = include_str!("order_funnel/tables.sql");
    const TRIGGERS: &'static str = include_str!("order_funnel/triggers.sql");
    const INDEXES: &'static str = "";
    const SPLIT: Split = Split::Never("the sums of a day are over orders of all keys");
    type Event = OrderEvent;
    type Key = Uuid;
    type Row = StepsRow;

    fn handles() -> Vec<&'static str> {
        STEPS.to_vec()
    }

    fn read(event: &RecordedEvent) -> Option<Result<OrderEvent, Reason>> {
        let read = OrderEvent::from_parts(
            event.event_type.as_str(),
            event.schema_version,
            event.data.get(),
        )?;
        Some(read.map_err(Into::into))
    }

    fn keys(event: &OrderEvent) -> Vec<Uuid> {
        vec![event.order_id()]
    }

    fn fold(
        id: &Uuid,
        row: Option<StepsRow>,
        incoming: &Incoming<OrderEvent>,
    ) -> Result<StepsRow, Reason> {
        let at = incoming.recorded_at;
        let mut row = match &incoming.event {
            OrderEvent::Placed(placed) => StepsRow {
                id: *id,
                is_import: placed.ordered_at.is_some(),
                placed_at: at,
                confirmed_at: None,
                paid_at: None,
                shipped_at: None,
                delivered_at: None,
                cancelled_at: None,
                position: 0,
            },
            _ => row.ok_or(NoSuchRow)?,
        };
        match &incoming.event {
            OrderEvent::Confirmed(_) => row.confirmed_at = Some(at),
            OrderEvent::Paid(_) => row.paid_at = Some(at),
            OrderEvent::Shipped(_) => row.shipped_at = Some(at),
            OrderEvent::Delivered(_) => row.delivered_at = Some(at),
            OrderEvent::Cancelled(_) | OrderEvent::SaleCancelled(_) => row.cancelled_at = Some(at),
            OrderEvent::Placed(_)
            | OrderEvent::ShippingAddressSet(_)
            | OrderEvent::Priced(_)
            | OrderEvent::LineAdded(_)
            | OrderEvent::LineRemoved(_)
            | OrderEvent::PaymentRequested(_)
            | OrderEvent::Refunded(_) => {}
        }
        row.position = incoming.position.0;
        Ok(row)
    }
}
