//! A projection of products whose table takes only some levels: an event may make a row impossible,
//! and a later one possible again.

use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split};
use uuid::Uuid;

use super::ledger::{self, Row, row_in, summed};

/// The levels that the table takes.
pub(crate) const POSSIBLE: std::ops::RangeInclusive<i64> = 0..=100;

pub(crate) struct Tight;

row_in!(tight, TightRow);

impl Projection for Tight {
    const NAME: &'static str = "tight";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE tight (key text PRIMARY KEY, events bigint NOT NULL,
        trace bigint NOT NULL CONSTRAINT tight_level CHECK (trace BETWEEN 0 AND 100), position \
        bigint NOT NULL)";
    const INDEXES: &'static str = "";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = String;
    type Row = TightRow;

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
        row: Option<TightRow>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<TightRow, Reason> {
        Ok(summed(key, row.map(Row::from), incoming.event.1, incoming.position.0).into())
    }
}
