//! Tests that the test kit accepts a sound projection, and finds each fault that it promises to
//! find.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, Ordering};

use event_store::{Metadata, NewEvent, RecordedEvent, Registry, StreamName};
use futures::FutureExt as _;
use local_servers::TestDatabase;
use projection::test_kit::{check, fold, log_of};
use projection::{Incoming, Projection, Reason, add, of, row};
use serde_json::json;
use uuid::Uuid;

/// No fault.
const SOUND: u8 = 0;
/// The fold depends on more than its arguments.
const FOLDS_BY_CHANCE: u8 = 1;
/// A column has another type in the table than in the row.
const MISFITS: u8 = 2;

/// The number of loans of each book.
struct Loans<const FAULT: u8>;

row! {
    #[derive(Debug, Clone, serde::Serialize)]
    struct Lent in loans by (book: Uuid) {
        times: i64,
        days: i64,
    }
}

impl<const FAULT: u8> Projection for Loans<FAULT> {
    const NAME: &'static str = "loans";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = if FAULT == MISFITS {
        "CREATE TABLE loans (book uuid PRIMARY KEY, times bigint NOT NULL, days integer NOT NULL)"
    } else {
        "CREATE TABLE loans (book uuid PRIMARY KEY, times bigint NOT NULL, days bigint NOT NULL)"
    };
    const INDEXES: &'static str = "";
    type Event = (Uuid, i64);
    type Key = Uuid;
    type Row = Lent;

    fn handles() -> Vec<&'static str> {
        vec!["book.lent"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<(Uuid, i64), Reason>> {
        Some(event.decode().map_err(Into::into))
    }

    fn keys((book, _): &(Uuid, i64)) -> Vec<Uuid> {
        vec![*book]
    }

    fn fold(
        book: &Uuid,
        row: Option<Lent>,
        incoming: &Incoming<(Uuid, i64)>,
    ) -> Result<Lent, Reason> {
        static CHANCE: AtomicI64 = AtomicI64::new(0);
        let (_, days) = incoming.event;
        if days < 1 {
            return Err("a book is lent for a day at least".into());
        }
        let row = row.unwrap_or(Lent { book: *book, times: 0, days: 0 });
        let chance =
            if FAULT == FOLDS_BY_CHANCE { CHANCE.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Ok(Lent { times: add(row.times, 1)?, days: add(row.days, days + chance)?, ..row })
    }
}

const BOOK: Uuid = Uuid::from_u128(1);

fn lent(days: i64) -> (StreamName, NewEvent) {
    let metadata = Metadata::new(BOOK);
    let data = (BOOK, days);
    let event = NewEvent::json("book.lent".parse().unwrap(), 1, &data, metadata).unwrap();
    (StreamName::new("book", BOOK).unwrap(), event)
}

async fn checked<const FAULT: u8>() -> Vec<serde_json::Value> {
    let nothing = |_| async { Ok(()) };
    let database = TestDatabase::create("projection_kit", "empty", nothing).await;
    let registry = Registry::new([("book.lent", 1)], []).unwrap();
    let events = vec![lent(7), lent(14)];
    check(database.url(), &of::<Loans<FAULT>>(), registry, events).await
}

/// The kit's report on a projection with this fault.
async fn found<const FAULT: u8>() -> String {
    let failed = AssertUnwindSafe(checked::<FAULT>()).catch_unwind().await;
    *failed.expect_err("the fault is not found").downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_sound_projection_passes_and_its_rows_are_shown() {
    assert_eq!(checked::<SOUND>().await, [json!({"book": BOOK, "times": 2, "days": 21})]);
}

#[tokio::test]
async fn a_column_of_another_type_than_the_tables_is_found() {
    let said = found::<MISFITS>().await;
    assert!(said.contains("days"), "{said}");
}

#[tokio::test]
async fn a_fold_that_depends_on_more_than_its_arguments_is_found() {
    let said = found::<FOLDS_BY_CHANCE>().await;
    assert!(said.contains("not what a replay of the log makes"), "{said}");
}

#[tokio::test]
async fn a_fold_is_tried_without_a_database() {
    let everything = async |events| {
        let store = log_of(events).await;
        let all = &event_store::Filter::All;
        event_store::EventStore::read(store.as_ref(), all, event_store::Position::START, 100)
            .await
            .unwrap()
    };
    let events: Vec<RecordedEvent> = everything(vec![lent(7), lent(14)]).await;
    let rows = fold::<Loans<SOUND>>(&events).unwrap();
    assert_eq!(rows[&BOOK.to_string()], json!({"book": BOOK, "times": 2, "days": 21}));
    let refused = fold::<Loans<SOUND>>(&everything(vec![lent(7), lent(0)]).await).unwrap_err();
    assert_eq!(refused.to_string(), format!("the row {BOOK} refuses the event at position 2"));
}
