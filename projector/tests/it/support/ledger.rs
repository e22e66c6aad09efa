//! Two projections of products that refuse some events until they are fixed: one whose order
//! matters, and one that only adds.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::DomainEvent;
use domain::product::event::{ProductEvent, ProductStockAdjusted};
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split};
use serde::Serialize;
use uuid::Uuid;

use super::{Happening, happening};

/// An adjustment by so much is refused.
pub(crate) const POISON: i64 = 13;
/// How many rows the sums have.
pub(crate) const BUCKETS: u128 = 8;

/// Whether the fold of the test with this number has been fixed.
pub(crate) static FIXED: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

/// What each product went through; the order matters.
pub(crate) struct Ledger<const TEST: usize>;
/// Sums over products.
pub(crate) struct Tally;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) events: i64,
    pub(crate) trace: i64,
    pub(crate) position: i64,
}

pub(crate) fn adjusted(product_id: Uuid, delta: i64) -> Happening {
    let adjusted = ProductStockAdjusted { product_id, delta, stock: delta };
    happening("product", product_id, &ProductEvent::StockAdjusted(adjusted))
}

/// The row after one more event, whose order matters.
pub(crate) fn traced(key: &str, row: Option<Row>, delta: i64, position: i64) -> Row {
    let row = row.unwrap_or(Row { key: key.to_owned(), events: 0, trace: 0, position: 0 });
    Row { events: row.events + 1, trace: (row.trace * 31 + delta) % 1_000_007, position, ..row }
}

/// The row after one more event, whose order does not matter.
pub(crate) fn summed(key: &str, row: Option<Row>, delta: i64, position: i64) -> Row {
    let row = row.unwrap_or(Row { key: key.to_owned(), events: 0, trace: 0, position: 0 });
    Row {
        events: row.events + 1,
        trace: row.trace + delta,
        position: row.position.max(position),
        ..row
    }
}

pub(crate) fn bucket(product: Uuid) -> String {
    format!("bucket-{}", product.as_u128() % BUCKETS)
}

fn refused(test: usize, delta: i64) -> Result<(), Reason> {
    if delta == POISON && !FIXED[test].load(Ordering::SeqCst) {
        Err("an unlucky number".into())
    } else {
        Ok(())
    }
}

/// An adjustment of a product's stock.
pub(crate) fn read(event: &RecordedEvent) -> Option<Result<(Uuid, i64), Reason>> {
    match ProductEvent::from_parts(
        event.event_type.as_str(),
        event.schema_version,
        event.data.get(),
    )? {
        Ok(ProductEvent::StockAdjusted(adjusted)) => {
            Some(Ok((adjusted.product_id, adjusted.delta)))
        }
        Ok(_) => None,
        Err(unreadable) => Some(Err(unreadable.into())),
    }
}

/// Declares [`Row`] as the row of a table.
macro_rules! row_in {
    ($table:ident, $Row:ident) => {
        projection::row! {
            #[derive(Debug, Clone, serde::Serialize)]
            pub(crate) struct $Row in $table by (key: String) {
                events: i64,
                trace: i64,
                position: i64,
            }
        }

        impl From<$Row> for $crate::support::ledger::Row {
            fn from(row: $Row) -> Self {
                let $Row { key, events, trace, position } = row;
                Self { key, events, trace, position }
            }
        }

        impl From<$crate::support::ledger::Row> for $Row {
            fn from(row: $crate::support::ledger::Row) -> Self {
                let $crate::support::ledger::Row { key, events, trace, position } = row;
                Self { key, events, trace, position }
            }
        }
    };
}
pub(crate) use row_in;

row_in!(ledger, LedgerRow);
row_in!(tally, TallyRow);

macro_rules! columns {
    () => {
        "(key text PRIMARY KEY, events bigint NOT NULL, trace bigint NOT NULL, position bigint \
            NOT NULL)"
    };
}

impl<const TEST: usize> Projection for Ledger<TEST> {
    const NAME: &'static str = "ledger";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = concat!("CREATE TABLE ledger ", columns!());
    const INDEXES: &'static str = "";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = String;
    type Row = LedgerRow;

    fn handles() -> Vec<&'static str> {
        vec!["product.stock_adjusted"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>> {
        read(event)
    }

    fn keys((product, _): &Self::Event) -> Vec<String> {
        vec![product.to_string()]
    }

    fn fold(
        key: &String,
        row: Option<LedgerRow>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<LedgerRow, Reason> {
        refused(TEST, incoming.event.1)?;
        Ok(traced(key, row.map(Row::from), incoming.event.1, incoming.position.0).into())
    }
}

impl Projection for Tally {
    const NAME: &'static str = "tally";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = concat!("CREATE TABLE tally ", columns!());
    const INDEXES: &'static str = "";
    const COMMUTES: bool = true;
    type Event = (Uuid, i64);
    type Key = String;
    type Row = TallyRow;

    fn handles() -> Vec<&'static str> {
        vec!["product.stock_adjusted"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>> {
        read(event)
    }

    fn keys((product, _): &Self::Event) -> Vec<String> {
        vec![bucket(*product)]
    }

    fn fold(
        key: &String,
        row: Option<TallyRow>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<TallyRow, Reason> {
        refused(2, incoming.event.1)?;
        Ok(summed(key, row.map(Row::from), incoming.event.1, incoming.position.0).into())
    }
}
