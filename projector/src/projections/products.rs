//! `products`: one row per product.

use chrono::{DateTime, Utc};
use domain::DomainEvent;
use domain::product::event::{ProductAdded, ProductEvent};
use domain::value::RateClass;
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, row};
use serde::Serialize;
use uuid::Uuid;

use super::types_of;

/// The projection of products.
pub struct Products;

row! {
    /// A row of `products`.
    #[derive(Debug, Clone, Serialize)]
    pub struct ProductRow in products by (id: Uuid) {
        name: String,
        currency: String,
        unit_price_minor: i64,
        rate_class: String,
        stock: i64,
        reserved: i64,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
        version: i64,
        position: i64,
    }
}

impl Projection for Products {
    const NAME: &'static str = "products";
    const FOLD_VERSION: i32 = 4;
    const TABLES: &'static str = include_str!("products/tables.sql");
    const INDEXES: &'static str = include_str!("products/indexes.sql");
    const HISTORY: bool = true;
    const SPLIT: Split = Split::ByKey(1);
    type Event = ProductEvent;
    type Key = Uuid;
    type Row = ProductRow;

    fn handles() -> Vec<&'static str> {
        types_of::<ProductEvent>()
    }

    fn read(event: &RecordedEvent) -> Option<Result<ProductEvent, Reason>> {
        let read = ProductEvent::from_parts(
            event.event_type.as_str(),
            event.schema_version,
            event.data.get(),
        )?;
        Some(read.map_err(Into::into))
    }

    fn keys(event: &ProductEvent) -> Vec<Uuid> {
        vec![event.product_id()]
    }

    fn fold(
        _: &Uuid,
        row: Option<ProductRow>,
        incoming: &Incoming<ProductEvent>,
    ) -> Result<ProductRow, Reason> {
        let mut row = match &incoming.event {
            ProductEvent::Added(added) => new_row(added, incoming.recorded_at),
            _ => row.ok_or(NoSuchRow)?,
        };
        match &incoming.event {
            ProductEvent::Added(_) => {}
            ProductEvent::Renamed(renamed) => renamed.name.as_str().clone_into(&mut row.name),
            ProductEvent::Repriced(repriced) => {
                row.unit_price_minor = repriced.unit_price.minor();
                repriced.unit_price.currency().code().clone_into(&mut row.currency);
            }
            ProductEvent::Classified(classified) => {
                classified.rate_class.as_str().clone_into(&mut row.rate_class);
            }
            ProductEvent::StockAdjusted(adjusted) => row.stock = adjusted.stock,
            ProductEvent::StockReceived(received) => row.stock = received.stock,
            ProductEvent::StockReserved(reserved) => row.reserved = reserved.reserved,
            ProductEvent::StockReleased(released) => row.reserved = released.reserved,
            ProductEvent::StockShipped(shipped) => {
                (row.stock, row.reserved) = (shipped.stock, shipped.reserved);
            }
        }
        row.updated_at = incoming.recorded_at;
        row.version = incoming.version.0;
        row.position = incoming.position.0;
        Ok(row)
    }
}

fn new_row(added: &ProductAdded, recorded_at: DateTime<Utc>) -> ProductRow {
    ProductRow {
        id: added.product_id,
        name: added.name.as_str().to_owned(),
        currency: added.unit_price.currency().code().to_owned(),
        unit_price_minor: added.unit_price.minor(),
        rate_class: RateClass::default().as_str().to_owned(),
        stock: added.stock,
        reserved: 0,
        created_at: recorded_at,
        updated_at: recorded_at,
        version: 0,
        position: 0,
    }
}
