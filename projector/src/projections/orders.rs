//! `orders`: one row per order, with its lines.

use chrono::{DateTime, Utc};
use domain::DomainEvent;
use domain::order::event::{OrderEvent, OrderLine, OrderPlaced};
use domain::order::{CancelReason, OrderStatus};
use domain::pricing::Price;
use domain::value::{Destination, Money};
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, add, row};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::types_of;

/// The projection of orders.
pub struct Orders;

row! {
    /// A row of `orders`.
    #[derive(Debug, Clone, Serialize)]
    pub struct OrderRow in orders by (id: Uuid) {
        user_id: Uuid,
        status: String,
        currency: String,
        total_minor: i64,
        discount_minor: i64,
        tax_minor: i64,
        shipping_country: Option<String>,
        shipping_region: Option<String>,
        units: i64,
        lines: Json<Vec<Line>>,
        paid_minor: i64,
        refunded_minor: i64,
        ordered_at: Option<DateTime<Utc>>,
        confirmed_at: Option<DateTime<Utc>>,
        payment_requested_at: Option<DateTime<Utc>>,
        paid_at: Option<DateTime<Utc>>,
        shipped_at: Option<DateTime<Utc>>,
        delivered_at: Option<DateTime<Utc>>,
        cancelled_at: Option<DateTime<Utc>>,
        cancel_reason: Option<String>,
        cancel_products: Json<Vec<Uuid>>,
        refunded_at: Option<DateTime<Utc>>,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
        version: i64,
        position: i64,
    }
}

/// A line of an order, as stored in the column `lines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the names in the column")]
pub struct Line {
    line_id: Uuid,
    product_id: Uuid,
    product_name: String,
    quantity: u32,
    unit_price_minor: i64,
}

impl From<&OrderLine> for Line {
    fn from(line: &OrderLine) -> Self {
        Self {
            line_id: line.line_id,
            product_id: line.product_id,
            product_name: line.product_name.as_str().to_owned(),
            quantity: line.quantity.get(),
            unit_price_minor: line.unit_price.minor(),
        }
    }
}

impl Projection for Orders {
    const NAME: &'static str = "orders";
    const FOLD_VERSION: i32 = 5;
    const TABLES: &'static str = include_str!("orders/tables.sql");
    const INDEXES: &'static str = include_str!("orders/indexes.sql");
    const HISTORY: bool = true;
    const SPLIT: Split = Split::ByKey(1);
    type Event = OrderEvent;
    type Key = Uuid;
    type Row = OrderRow;

    fn handles() -> Vec<&'static str> {
        types_of::<OrderEvent>()
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
        _: &Uuid,
        row: Option<OrderRow>,
        incoming: &Incoming<OrderEvent>,
    ) -> Result<OrderRow, Reason> {
        let at = incoming.recorded_at;
        let mut row = match &incoming.event {
            OrderEvent::Placed(placed) => new_row(placed, at),
            _ => row.ok_or(NoSuchRow)?,
        };
        match &incoming.event {
            OrderEvent::Placed(_) => {}
            OrderEvent::ShippingAddressSet(set) => row.set_destination(&set.destination),
            OrderEvent::Priced(priced) => row.set_price(&priced.price),
            OrderEvent::LineAdded(added) => {
                row.lines.0.push(Line::from(&added.line));
                row.set_total(added.total);
            }
            OrderEvent::LineRemoved(removed) => {
                row.lines.0.retain(|line| line.line_id != removed.line_id);
                row.set_total(removed.total);
            }
            OrderEvent::Confirmed(confirmed) => {
                row.set_status(OrderStatus::Confirmed);
                row.ordered_at = Some(confirmed.ordered_at);
                row.confirmed_at = Some(at);
                row.set_total(confirmed.total);
            }
            OrderEvent::Cancelled(cancelled) => row.cancel(at, cancelled.reason, &[]),
            OrderEvent::SaleCancelled(cancelled) => {
                row.cancel(at, cancelled.reason, &cancelled.products);
            }
            OrderEvent::PaymentRequested(_) => row.payment_requested_at = Some(at),
            OrderEvent::Paid(paid) => {
                row.set_status(OrderStatus::Paid);
                row.paid_at = Some(at);
                row.paid_minor = paid.amount.minor();
            }
            OrderEvent::Shipped(_) => {
                row.set_status(OrderStatus::Shipped);
                row.shipped_at = Some(at);
            }
            OrderEvent::Delivered(_) => {
                row.set_status(OrderStatus::Delivered);
                row.delivered_at = Some(at);
            }
            OrderEvent::Refunded(refunded) => {
                row.refunded_minor = refunded.refunded.minor();
                row.refunded_at = Some(at);
                if refunded.ends_order {
                    row.set_status(OrderStatus::Refunded);
                }
            }
        }
        row.units =
            row.lines.0.iter().try_fold(0, |sum, line| add(sum, i64::from(line.quantity)))?;
        row.updated_at = at;
        row.version = incoming.version.0;
        row.position = incoming.position.0;
        Ok(row)
    }
}

impl OrderRow {
    fn set_status(&mut self, status: OrderStatus) {
        status.as_str().clone_into(&mut self.status);
    }

    fn cancel(&mut self, at: DateTime<Utc>, reason: Option<CancelReason>, products: &[Uuid]) {
        self.set_status(OrderStatus::Cancelled);
        self.cancelled_at = Some(at);
        self.cancel_reason = reason.map(|reason| reason.as_str().to_owned());
        self.cancel_products = Json(products.to_vec());
    }

    fn set_destination(&mut self, destination: &Destination) {
        let Destination { country, region } = destination;
        self.shipping_country = Some(country.code().to_owned());
        self.shipping_region = region.as_ref().map(|region| region.as_str().to_owned());
    }

    fn set_price(&mut self, price: &Price) {
        self.discount_minor = price.discount.minor();
        self.tax_minor = price.tax.minor();
        self.set_total(price.total);
    }

    fn set_total(&mut self, total: Money) {
        self.total_minor = total.minor();
        total.currency().code().clone_into(&mut self.currency);
    }
}

fn new_row(placed: &OrderPlaced, recorded_at: DateTime<Utc>) -> OrderRow {
    OrderRow {
        id: placed.order_id,
        user_id: placed.user_id,
        status: OrderStatus::Pending.as_str().to_owned(),
        currency: placed.total.currency().code().to_owned(),
        total_minor: placed.total.minor(),
        discount_minor: 0,
        tax_minor: 0,
        shipping_country: None,
        shipping_region: None,
        units: 0,
        lines: Json(placed.lines.iter().map(Line::from).collect()),
        paid_minor: 0,
        refunded_minor: 0,
        ordered_at: placed.ordered_at,
        confirmed_at: None,
        payment_requested_at: None,
        paid_at: None,
        shipped_at: None,
        delivered_at: None,
        cancelled_at: None,
        cancel_reason: None,
        cancel_products: Json(Vec::new()),
        refunded_at: None,
        created_at: recorded_at,
        updated_at: recorded_at,
        version: 0,
        position: 0,
    }
}
