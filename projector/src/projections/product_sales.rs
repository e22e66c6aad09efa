//! `product_sales`: one row per order, with what its lines sell. The table `product_sales_totals`
//! has the sums for each product and currency; `triggers.sql` maintains them.
//!
//! An order counts from its confirmation on, until it is cancelled. The amount of a line is its
//! price after discounts; a tax that is added on top is not in it. A refund in whole counts as
//! refunded for each line. A refund in part names no product, so it is not here.

use domain::DomainEvent;
use domain::order::event::{OrderEvent, OrderLine};
use domain::pricing::PricedLine;
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, add, row};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

/// The types of the events that change what an order sells, or whether it counts.
const COUNTED: [&str; 8] = [
    "order.placed",
    "order.line_added",
    "order.line_removed",
    "order.priced",
    "order.confirmed",
    "order.cancelled",
    "order.sale_cancelled",
    "order.refunded",
];

/// The projection of the sales of products.
pub struct ProductSales;

row! {
    /// A row of `product_sales`.
    #[derive(Debug, Clone, Serialize)]
    pub struct OrderSalesRow in product_sales by (id: Uuid) {
        status: String,
        currency: String,
        lines: Json<Vec<SoldLine>>,
        position: i64,
    }
}

/// What a line of an order sells, as stored in the column `lines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SoldLine {
    line_id: Uuid,
    product_id: Uuid,
    units: i64,
    amount_minor: i64,
}

impl SoldLine {
    fn of(line: &OrderLine) -> Result<Self, Reason> {
        let (line_id, product_id) = (line.line_id, line.product_id);
        let amount_minor = line.unit_price.times(line.quantity)?.minor();
        Ok(Self { line_id, product_id, units: line.quantity.get().into(), amount_minor })
    }
}

impl Projection for ProductSales {
    const NAME: &'static str = "product_sales";
    const FOLD_VERSION: i32 = 2;
    const TABLES: &'static str = include_str!("product_sales/tables.sql");
    const TRIGGERS: &'static str = include_str!("product_sales/triggers.sql");
    const INDEXES: &'static str = include_str!("product_sales/indexes.sql");
    const SPLIT: Split = Split::Never("the sums of a product are over orders of all keys");
    type Event = OrderEvent;
    type Key = Uuid;
    type Row = OrderSalesRow;

    fn handles() -> Vec<&'static str> {
        COUNTED.to_vec()
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
        row: Option<OrderSalesRow>,
        incoming: &Incoming<OrderEvent>,
    ) -> Result<OrderSalesRow, Reason> {
        let mut row = match &incoming.event {
            OrderEvent::Placed(placed) => OrderSalesRow {
                id: *id,
                status: "open".to_owned(),
                currency: placed.total.currency().code().to_owned(),
                lines: Json(placed.lines.iter().map(SoldLine::of).collect::<Result<_, _>>()?),
                position: 0,
            },
            _ => row.ok_or(NoSuchRow)?,
        };
        row.apply(&incoming.event)?;
        row.position = incoming.position.0;
        Ok(row)
    }
}

impl OrderSalesRow {
    fn apply(&mut self, event: &OrderEvent) -> Result<(), Reason> {
        match event {
            OrderEvent::LineAdded(added) => self.lines.0.push(SoldLine::of(&added.line)?),
            OrderEvent::LineRemoved(removed) => {
                self.lines.0.retain(|line| line.line_id != removed.line_id);
            }
            OrderEvent::Priced(priced) => {
                for PricedLine { line_id, list, discount, .. } in &priced.price.lines {
                    let lines = self.lines.0.iter_mut();
                    for line in lines.filter(|line| line.line_id == *line_id) {
                        line.amount_minor = add(list.minor(), -discount.minor())?;
                    }
                }
            }
            OrderEvent::Confirmed(_) => "sold".clone_into(&mut self.status),
            OrderEvent::Cancelled(_) | OrderEvent::SaleCancelled(_) => {
                "cancelled".clone_into(&mut self.status);
            }
            OrderEvent::Refunded(refunded) if refunded.ends_order => {
                "refunded".clone_into(&mut self.status);
            }
            OrderEvent::Placed(_)
            | OrderEvent::ShippingAddressSet(_)
            | OrderEvent::PaymentRequested(_)
            | OrderEvent::Paid(_)
            | OrderEvent::Shipped(_)
            | OrderEvent::Delivered(_)
            | OrderEvent::Refunded(_) => {}
        }
        Ok(())
    }
}
