//! `loans`: one row a book, with how often it was lent and for how many days in all.

use aggregate::DomainEvent;
use async_trait::async_trait;
use event_store::RecordedEvent;
use projection::{CopyRow, Incoming, Projection, Reason, Split, add, column};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{BookEvent, BookLent};

/// The projection.
pub struct Loans;

/// A row of `loans`.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct Row {
    book_id: Uuid,
    times: i64,
    days: i64,
}

#[async_trait]
impl Projection for Loans {
    const NAME: &'static str = "loans";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE loans (
        book_id uuid PRIMARY KEY, times bigint NOT NULL, days bigint NOT NULL)";
    const INDEXES: &'static str = "CREATE INDEX ON loans (times)";
    const COPY: &'static str = "COPY loans FROM STDIN (FORMAT binary)";
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

    async fn load(connection: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Row)>> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT book_id, times, days FROM loans WHERE book_id = ANY($1)")
                .bind(keys)
                .fetch_all(connection)
                .await?;
        Ok(rows.into_iter().map(|row| (row.book_id, row)).collect())
    }

    async fn save(connection: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO loans (book_id, times, days)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
             ON CONFLICT (book_id) DO UPDATE SET times = excluded.times, days = excluded.days",
        )
        .bind(column(rows, |row| row.book_id))
        .bind(column(rows, |row| row.times))
        .bind(column(rows, |row| row.days))
        .execute(connection)
        .await?;
        Ok(())
    }

    fn copy(row: &Row, to: &mut CopyRow) {
        to.column(&row.book_id).column(&row.times).column(&row.days);
    }
}
