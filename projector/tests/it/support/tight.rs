//! A projection of products whose table takes only some levels: an event may make a row impossible,
//! and a later one possible again.

use async_trait::async_trait;
use event_store::RecordedEvent;
use projection::{CopyRow, Incoming, Projection, Reason, Split};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ledger::{self, Row, summed, upsert};

/// The levels that the table takes.
pub(crate) const POSSIBLE: std::ops::RangeInclusive<i64> = 0..=100;

pub(crate) struct Tight;

#[async_trait]
impl Projection for Tight {
    const NAME: &'static str = "tight";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE tight (key text PRIMARY KEY, events bigint NOT NULL,
        trace bigint NOT NULL CONSTRAINT tight_level CHECK (trace BETWEEN 0 AND 100), position \
        bigint NOT NULL)";
    const INDEXES: &'static str = "";
    const COPY: &'static str = "COPY tight FROM STDIN (FORMAT binary)";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = String;
    type Row = Row;

    fn handles() -> Vec<&'static str> {
        vec!["product.stock_adjusted"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>> {
        ledger::read(event)
    }

    fn keys((product, _): &Self::Event) -> Vec<String> {
        vec![product.to_string()]
    }

    fn fold(
        key: &String,
        row: Option<Row>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<Row, Reason> {
        Ok(summed(key, row, incoming.event.1, incoming.position.0))
    }

    async fn load(
        connection: &mut PgConnection,
        keys: &[String],
    ) -> sqlx::Result<Vec<(String, Row)>> {
        ledger::load(connection, "SELECT * FROM tight WHERE key = ANY($1)", keys).await
    }

    async fn save(connection: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        ledger::save(connection, upsert!("tight"), rows).await
    }

    fn copy(row: &Row, to: &mut CopyRow) {
        ledger::copy(row, to);
    }
}
