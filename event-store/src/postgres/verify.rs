//! Checks the whole log against its promises, and what is derived from it against the log.
//!
//! - positions and versions are dense, and the clock never went back;
//! - every event is the one that was digested (`chain.rs`): a changed, missing or reordered one is
//!   named by its position;
//! - tags, reservations and idempotency keys are what the log makes of them (`derived.rs`);
//! - the epochs follow each other within the log, and the last one is the current one
//!   (`epochs.rs`).
//!
//! It reads in pages, each a snapshot of its own, and only what came since the last page in one;
//! memory is bounded whatever the log's size.

use std::time::Duration;

use postgres_kit::Connection;
use serde::Serialize;
use sqlx::Executor as _;
use uuid::Uuid;

use self::chain::Chain;
use self::derived::Derived;
use super::error::read_error;
use crate::error::StoreError;
use crate::event::Position;

mod chain;
mod derived;
mod epochs;

/// Events per page.
const PAGE: i64 = 2_000;
/// About how many bytes of events are looked at at a time.
const PAGE_BYTES: i64 = 4 * 1_024 * 1_024;
/// How long one page of events may take.
const PAGE_LIMIT: Duration = Duration::from_mins(1);
/// How long the comparison of a whole table may take.
const TABLE_LIMIT: Duration = Duration::from_mins(30);
/// The most findings that are kept; the others are counted.
pub const MAX_FINDINGS: usize = 100;

/// What was checked and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The last position.
    pub head: Position,
    /// Up to where events were compared with their digests.
    pub digested_to: Position,
    /// How many events were read.
    pub events: u64,
    /// How many reservations were compared with the log.
    pub reservations: i64,
    /// How many idempotency records were compared with the log.
    pub keys: i64,
    /// How many idempotency records belong to appends without events: the log knows nothing of
    /// them.
    pub keys_without_events: i64,
    /// What is wrong, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there were beyond these.
    pub more_findings: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where, when it is about one event.
    pub position: Option<Position>,
    /// What was found.
    pub what: String,
}

/// An event as it stands in the table.
struct Row {
    position: i64,
    version: i64,
    event_id: Uuid,
    recorded_at: chrono::DateTime<chrono::Utc>,
    schema_version: i32,
    stream: String,
    event_type: String,
    data: String,
    tags: Vec<String>,
    metadata: String,
    bytes: i32,
    follows: bool,
    tagged: bool,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }

    fn find(&mut self, position: impl Into<Option<i64>>, what: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { position: position.into().map(Position), what });
        } else {
            self.more_findings += 1;
        }
    }
}

/// Checks the log. The connection's role must be able to read the schema and to make temporary
/// tables. Each statement has a limit of its own, whatever the connection's is.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Database`] for whatever else it
/// said. What is wrong with the log is no error, but a finding.
pub async fn verify(connection: &mut Connection) -> Result<Verification, StoreError> {
    let limit = connection.limit();
    let found = check(connection).await.map_err(read_error);
    connection.set_limit(limit);
    found
}

async fn check(connection: &mut Connection) -> Result<Verification, sqlx::Error> {
    connection.set_limit(PAGE_LIMIT);
    let mut found = Verification::default();
    let mut chain = Chain::default();
    let mut derived = Derived::begin(connection).await?;
    let mut last = None;
    while page(connection, (&mut last, &mut found), &mut chain, &mut derived).await? {}
    // Reservations change with the log: what came since and what is held now must be of one moment.
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let ended = end(connection, last, &mut found, chain, derived).await;
    connection.execute(if ended.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    ended?;
    Ok(found)
}

/// What must be of one moment: the last events, the digests behind them, and what is derived from
/// all.
async fn end(
    connection: &mut Connection,
    mut last: Option<Row>,
    found: &mut Verification,
    mut chain: Chain,
    mut derived: Derived,
) -> Result<(), sqlx::Error> {
    while page(connection, (&mut last, found), &mut chain, &mut derived).await? {}
    chain.end(connection, found.head.0, found).await?;
    connection.set_limit(TABLE_LIMIT);
    derived.end(connection, found).await?;
    epochs::check(connection, found).await
}

/// Checks the next events; `false` when there were none left for a full page.
async fn page(
    connection: &mut Connection,
    (last, found): (&mut Option<Row>, &mut Verification),
    chain: &mut Chain,
    derived: &mut Derived,
) -> Result<bool, sqlx::Error> {
    let rows = sqlx::query_file_as!(Row, "sql/verify_page.sql", found.head.0, PAGE, PAGE_BYTES)
        .fetch_all(&mut *connection)
        .await?;
    let bytes: i64 = rows.iter().map(|row| i64::from(row.bytes)).sum();
    let full = bytes >= PAGE_BYTES || i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
    derived.compare_keys(connection, &rows, found).await?;
    for row in rows {
        dense(&row, last.as_ref(), found);
        chain.event(connection, &row, found).await?;
        found.head = Position(row.position);
        found.events += 1;
        *last = Some(row);
    }
    Ok(full)
}

fn dense(row: &Row, last: Option<&Row>, found: &mut Verification) {
    let wanted = found.head.0 + 1;
    if row.position == wanted + 1 {
        found.find(wanted, "no event stands at this position".to_owned());
    } else if row.position > wanted {
        found.find(wanted, format!("no event stands here and up to position {}", row.position - 1));
    }
    if !row.follows {
        found.find(
            row.position,
            format!(
                "version {} of {} stands here, and the one before it not before",
                row.version, row.stream
            ),
        );
    }
    if !row.tagged {
        found.find(row.position, "its tags cannot be found by the table of tags".to_owned());
    }
    if last.is_some_and(|last| last.recorded_at > row.recorded_at) {
        found.find(row.position, "it was recorded before the event before it".to_owned());
    }
}
