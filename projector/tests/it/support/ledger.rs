//! Two projections of products that refuse some events until they are fixed: one whose order
//! matters, and one that only adds.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::DomainEvent;
use domain::product::event::{ProductEvent, ProductStockAdjusted};
use event_store::RecordedEvent;
use projection::{CopyRow, Incoming, Projection, Reason, Split};
use serde::Serialize;
use sqlx::PgConnection;
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

/// The rows of these keys by a statement that selects them.
pub(crate) async fn load(
    connection: &mut PgConnection,
    statement: &'static str,
    keys: &[String],
) -> sqlx::Result<Vec<(String, Row)>> {
    let rows: Vec<Row> = sqlx::query_as(statement).bind(keys).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.key.clone(), row)).collect())
}

pub(crate) fn copy(row: &Row, to: &mut CopyRow) {
    to.column(&row.key).column(&row.events).column(&row.trace).column(&row.position);
}

/// Writes the rows by the statement that [`upsert`] makes.
pub(crate) async fn save(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: &[Row],
) -> sqlx::Result<()> {
    sqlx::query(statement)
        .bind(rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.events).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.trace).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.position).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

macro_rules! columns {
    () => {
        "(key text PRIMARY KEY, events bigint NOT NULL, trace bigint NOT NULL, position bigint \
            NOT NULL)"
    };
}

macro_rules! upsert {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
             ON CONFLICT (key) DO UPDATE SET events = excluded.events, trace = excluded.trace, \
             position = excluded.position"
        )
    };
}
pub(crate) use upsert;

#[async_trait]
impl<const TEST: usize> Projection for Ledger<TEST> {
    const NAME: &'static str = "ledger";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = concat!("CREATE TABLE ledger ", columns!());
    const INDEXES: &'static str = "";
    const COPY: &'static str = "COPY ledger FROM STDIN (FORMAT binary)";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = String;
    type Row = Row;

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
        row: Option<Row>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<Row, Reason> {
        refused(TEST, incoming.event.1)?;
        Ok(traced(key, row, incoming.event.1, incoming.position.0))
    }

    async fn load(
        connection: &mut PgConnection,
        keys: &[String],
    ) -> sqlx::Result<Vec<(String, Row)>> {
        load(connection, "SELECT * FROM ledger WHERE key = ANY($1)", keys).await
    }

    async fn save(connection: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        save(connection, upsert!("ledger"), rows).await
    }

    fn copy(row: &Row, to: &mut CopyRow) {
        copy(row, to);
    }
}

#[async_trait]
impl Projection for Tally {
    const NAME: &'static str = "tally";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = concat!("CREATE TABLE tally ", columns!());
    const INDEXES: &'static str = "";
    const COPY: &'static str = "COPY tally FROM STDIN (FORMAT binary)";
    const COMMUTES: bool = true;
    type Event = (Uuid, i64);
    type Key = String;
    type Row = Row;

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
        row: Option<Row>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<Row, Reason> {
        refused(2, incoming.event.1)?;
        Ok(summed(key, row, incoming.event.1, incoming.position.0))
    }

    async fn load(
        connection: &mut PgConnection,
        keys: &[String],
    ) -> sqlx::Result<Vec<(String, Row)>> {
        load(connection, "SELECT * FROM tally WHERE key = ANY($1)", keys).await
    }

    async fn save(connection: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        save(connection, upsert!("tally"), rows).await
    }

    fn copy(row: &Row, to: &mut CopyRow) {
        copy(row, to);
    }
}
