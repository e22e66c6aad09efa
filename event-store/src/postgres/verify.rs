//! Checks the whole log against its promises, and the derived tables against the log.
//!
//! - Positions and versions are dense, and the clock never went back.
//! - Every event is the one that was digested (`chain.rs`). A changed, missing or reordered event
//!   is named by its position.
//! - Tags, reservations and idempotency keys agree with the log (`derived.rs`).
//! - The epochs follow each other within the log, and the last one is current (`epochs.rs`).
//!
//! It reads in pages, each in its own snapshot. Only the end is read in one snapshot: the events
//! since the last page, their digests, the derived tables and the epochs. Memory use is bounded
//! whatever the log's size.

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

/// The number of events per page.
const PAGE: i64 = 2_000;
/// The approximate number of bytes of events to check at a time.
const PAGE_BYTES: i64 = 4 * 1_024 * 1_024;
/// The time limit of one page of events.
const PAGE_LIMIT: Duration = Duration::from_mins(1);
/// The time limit of the comparison of a whole table.
const TABLE_LIMIT: Duration = Duration::from_mins(30);
/// The maximum number of findings to keep; more are only counted.
pub const MAX_FINDINGS: usize = 100;

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The last position of the log.
    pub head: Position,
    /// The position up to which events were compared with their digests.
    pub digested_to: Position,
    /// The number of events read.
    pub events: u64,
    /// The number of reservations compared with the log.
    pub reservations: i64,
    /// The number of idempotency records compared with the log.
    pub keys: i64,
    /// The number of idempotency records of appends without events. The log has no record of them.
    pub keys_without_events: i64,
    /// The problems found, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// The number of further problems.
    pub more_findings: u64,
}

/// A problem found by a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The position of the event concerned, if it is about one.
    pub position: Option<Position>,
    /// The description of the problem.
    pub what: String,
}

/// An event as stored in the table.
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
    /// Whether no problem was found.
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

/// Verifies the log. The connection's role must be able to read the schema and to create temporary
/// tables. Each statement has its own time limit, whatever the connection's is.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres cannot be reached, [`StoreError::Database`] for any
/// other error. A problem of the log is a finding, not an error.
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
    // Reservations change with the log, so the last events and the held reservations must come from
    // one snapshot.
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let ended = end(connection, last, &mut found, chain, derived).await;
    connection.execute(if ended.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    ended?;
    Ok(found)
}

/// Checks the parts that must come from one snapshot: the last events, their digests, and the
/// derived tables.
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

/// Checks the next page of events; `false` when fewer than a full page were left.
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
        found.find(wanted, "this position has no event".to_owned());
    } else if row.position > wanted {
        found.find(wanted, format!("no event from here to position {}", row.position - 1));
    }
    if !row.follows {
        found.find(
            row.position,
            format!(
                "version {} of {} is here, but the version before it is not at an earlier position",
                row.version, row.stream
            ),
        );
    }
    if !row.tagged {
        found.find(row.position, "not all of its tags are in the table of tags".to_owned());
    }
    if last.is_some_and(|last| last.recorded_at > row.recorded_at) {
        found.find(row.position, "it was recorded earlier than its predecessor".to_owned());
    }
}
