//! `loans`: one row per book, with the number of loans and the total days.

use aggregate::DomainEvent;
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, add, row};
use serde::Serialize;
use uuid::Uuid;

use crate::{BookEvent, BookLent};

/// The projection that counts each book's loans.
pub struct Loans;

row! {
    /// A row of `loans`.
    #[derive(Debug, Clone, Serialize)]
    pub struct Row in loans by (book_id: Uuid) {
        times: i64,
        days: i64,
    }
}

impl Projection for Loans {
    const NAME: &'static str = "loans";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE loans (
        book_id uuid PRIMARY KEY, times bigint NOT NULL, days bigint NOT NULL)";
    const INDEXES: &'static str = "CREATE INDEX ON loans (times)";
    const SPLIT: Split = Split::ByKey(2);
    type Event = BookLent;
    type Key = Uuid;
    type Row = Row;

    fn handles() -> Vec<&'static str> {
        vec!["book.lent"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<BookLent, Reason>> {
        let (event_type, version) = (event.event_type.as_str(), event.schema_version);
        match BookEvent::from_parts(event_type, version, event.data.get())? {
            Ok(BookEvent::Lent(lent)) => Some(Ok(lent)),
            Ok(BookEvent::Returned(_)) => None,
            Err(unreadable) => Some(Err(unreadable.into())),
        }
    }

    fn keys(lent: &BookLent) -> Vec<Uuid> {
        vec![lent.book_id]
    }

    fn fold(
        book_id: &Uuid,
        row: Option<Row>,
        incoming: &Incoming<BookLent>,
    ) -> Result<Row, Reason> {
        let row = row.unwrap_or(Row { book_id: *book_id, times: 0, days: 0 });
        let days = add(row.days, incoming.event.days.into())?;
        Ok(Row { times: add(row.times, 1)?, days, ..row })
    }
}
