//! A projection of products whose own code panics at some events, and turns others into rows that
//! Postgres refuses.

use std::sync::atomic::{AtomicBool, Ordering};

use event_store::RecordedEvent;
use postgres_kit::{Column, Columns, TableRow};
use projection::{CopyRow, Incoming, Projection, ProjectionRow, Reason, Split};
use serde::Serialize;
use sqlx::postgres::{PgArguments, PgRow};
use uuid::Uuid;

use super::ledger::{self, Row, row_in, traced};

/// Adjustments by so much: at them the fold panics, the table's constraint refuses the row, saving
/// the row panics, telling the keys panics, the key is none that Postgres can look for, and loading
/// the key's row panics.
pub(crate) const FOLD_PANICS: i64 = 13;
pub(crate) const CONSTRAINT: i64 = 14;
pub(crate) const SAVE_PANICS: i64 = 15;
pub(crate) const KEYS_PANIC: i64 = 16;
pub(crate) const NO_KEY: i64 = 17;
pub(crate) const LOAD_PANICS: i64 = 18;

/// The key whose row cannot be loaded.
const UNLOADABLE: &str = "unloadable";

/// Whether it has been fixed.
pub(crate) static FIXED: AtomicBool = AtomicBool::new(false);

pub(crate) struct Fragile;

fn is_broken() -> bool {
    !FIXED.load(Ordering::SeqCst)
}

row_in!(fragile, StoredRow);

/// A row that panics where it is told to.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct FragileRow(StoredRow);

impl TableRow for FragileRow {
    const COLUMNS: &'static str = StoredRow::COLUMNS;
    const SHAPE: &'static [Column] = StoredRow::SHAPE;

    fn read_some(row: &PgRow, first: usize, columns: Columns) -> sqlx::Result<Self> {
        StoredRow::read_some(row, first, columns).map(Self)
    }
}

impl ProjectionRow for FragileRow {
    type Key = String;
    const TABLE: &'static str = StoredRow::TABLE;
    const LOAD: &'static str = StoredRow::LOAD;
    const SAVE: &'static str = StoredRow::SAVE;
    const COPY: &'static str = StoredRow::COPY;

    fn key(&self) -> String {
        self.0.key()
    }

    fn keys(keys: &[String]) -> sqlx::Result<PgArguments> {
        assert!(!keys.iter().any(|key| key == UNLOADABLE), "a row that makes no sense");
        StoredRow::keys(keys)
    }

    fn values(rows: &[Self]) -> sqlx::Result<PgArguments> {
        let rows: Vec<StoredRow> = rows.iter().map(|row| row.0.clone()).collect();
        assert!(rows.iter().all(|row| row.trace != -2), "no such row");
        StoredRow::values(&rows)
    }

    fn copy(&self, to: &mut CopyRow) {
        self.0.copy(to);
    }
}

impl Projection for Fragile {
    const NAME: &'static str = "fragile";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE fragile (key text PRIMARY KEY, events bigint NOT \
        NULL,
        trace bigint NOT NULL CONSTRAINT fragile_trace CHECK (trace >= 0), position bigint NOT \
        NULL)";
    const INDEXES: &'static str = "";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = String;
    type Row = FragileRow;

    fn handles() -> Vec<&'static str> {
        vec!["product.stock_adjusted"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>> {
        ledger::read(event)
    }

    fn keys((product, delta): &Self::Event) -> Vec<String> {
        assert_ne!(*delta, KEYS_PANIC, "the keys do not allow that");
        vec![match *delta {
            NO_KEY => "\0".to_owned(),
            LOAD_PANICS => UNLOADABLE.to_owned(),
            _ => product.to_string(),
        }]
    }

    fn fold(
        key: &String,
        row: Option<FragileRow>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<FragileRow, Reason> {
        let delta = incoming.event.1;
        assert!(!(delta == FOLD_PANICS && is_broken()), "an unlucky number of {key}");
        let row = row.map(|row| Row::from(row.0));
        let before = row.as_ref().map_or(0, |row| row.trace);
        let row = traced(key, row, delta, incoming.position.0);
        let row = match delta {
            // What is wrong stays wrong, so that it does not matter where a batch ends.
            _ if before < 0 => Row { trace: before, ..row },
            CONSTRAINT if is_broken() => Row { trace: -1, ..row },
            SAVE_PANICS if is_broken() => Row { trace: -2, ..row },
            _ => row,
        };
        Ok(FragileRow(row.into()))
    }
}
