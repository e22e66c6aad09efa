//! The record of operations: erasures and new epochs that people ask a process for.
//!
//! An operation is a row of `event_store.operations`. It names who asked and why, and it is never
//! deleted. One process at a time works on each kind: the one whose connection holds an advisory
//! lock of the server. When that process dies, the server frees the lock and another one goes on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, PgExecutor};
use uuid::Uuid;

use super::PostgresOptions;
use super::connect::base;
use crate::event::Epoch;

mod turn;

pub use turn::{MAX_RETRY_PAUSE, Turn};

/// The first half of the keys of the advisory locks. The second half is a kind's, or [`ADDING`].
const LOCKS: i32 = 0x0DA1_B00C;
/// The second half of the key of the lock under which requests are recorded.
const ADDING: i32 = 0;

/// The maximum number of operations that wait or run.
pub const MAX_UNFINISHED: i64 = 64;
/// The maximum number of characters of a reason.
pub const MAX_REASON: usize = 1_000;
/// The maximum number of abandoned epochs in one operation.
pub const MAX_ABANDONED: usize = 64;

/// The maximum time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The maximum time of one call. It is longer than the server's limit of a statement.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The server's time limit of a statement.
const STATEMENT_TIMEOUT: &str = "4s";

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Erases a subject's personal data and proves it.
    EraseSubject,
    /// Begins a new epoch of the log.
    BeginEpoch,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::EraseSubject, Self::BeginEpoch];

    /// The name in records and requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EraseSubject => "erase_subject",
            Self::BeginEpoch => "begin_epoch",
        }
    }

    /// Finds a kind by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    const fn lock(self) -> i32 {
        match self {
            Self::EraseSubject => 1,
            Self::BeginEpoch => 2,
        }
    }
}

/// What an operation is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Erase a subject.
    EraseSubject {
        /// The subject.
        subject: Uuid,
        /// Further arguments, as the program that carries it out defines them. None is called
        /// `subject`.
        options: Map<String, Value>,
    },
    /// Begin an epoch.
    BeginEpoch {
        /// The current epoch. If another one is current when the turn comes, none begins.
        replaces: Epoch,
        /// The epochs of other copies of the log that the new one replaces too.
        abandoned: Vec<Epoch>,
    },
}

impl Request {
    /// The kind of the operation.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::EraseSubject { .. } => Kind::EraseSubject,
            Self::BeginEpoch { .. } => Kind::BeginEpoch,
        }
    }

    fn target(&self) -> String {
        match self {
            Self::EraseSubject { subject, .. } => subject.to_string(),
            Self::BeginEpoch { .. } => String::new(),
        }
    }

    fn arguments(&self) -> Value {
        match self {
            Self::EraseSubject { subject, options } => {
                let mut arguments = options.clone();
                arguments.insert("subject".to_owned(), json!(subject));
                Value::Object(arguments)
            }
            Self::BeginEpoch { replaces, abandoned } => {
                let abandoned: Vec<Uuid> = abandoned.iter().map(|epoch| epoch.0).collect();
                json!({ "replaces": replaces.0, "abandoned": abandoned })
            }
        }
    }
}

/// A recorded operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The id, a UUID of version 7.
    pub id: Uuid,
    /// The name of its [`Kind`].
    pub kind: String,
    /// The arguments, as the kind defines them.
    pub arguments: Value,
    /// Who asked for it: the holder of an access token, as `user:ID`. Without a token it is a
    /// claim, which nothing verifies.
    pub requested_by: String,
    /// The session or API key that the token was issued for.
    pub requested_with: Option<Uuid>,
    /// Why it was asked for.
    pub reason: String,
    /// When it was recorded.
    pub requested_at: DateTime<Utc>,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// A description of the current work; `None` before it begins and after its end.
    pub work: Option<String>,
    /// The number of attempts.
    pub attempts: i32,
    /// When the first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When an attempt last wrote here.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// When the next attempt may begin, after one that failed.
    pub retry_at: Option<DateTime<Utc>>,
    /// Whether its effect may have begun, so that it can no longer be cancelled.
    pub irrevocable: bool,
    /// Whether a person asked to cancel it.
    pub cancel_wanted: bool,
    /// Who asked first to cancel it, as in `requested_by`.
    pub cancelled_by: Option<String>,
    /// The session or API key of the person in `cancelled_by`.
    pub cancelled_with: Option<Uuid>,
    /// The result, as the kind defines it; `None` if there is none.
    pub result: Option<Value>,
    /// Why it failed; while it runs, the error that it retries after.
    pub error: Option<String>,
    /// When it ended; `None` while it waits or runs.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Who asks: an opaque id, and the session or API key that proves it.
pub type Asker<'a> = (&'a str, Option<Uuid>);

/// The outcome of a request for an operation.
#[derive(Debug)]
pub enum Added {
    /// The operation is recorded.
    Queued(Box<Operation>),
    /// An unfinished operation has the same kind and target.
    Busy(Box<Operation>),
    /// [`MAX_UNFINISHED`] operations wait already.
    Full,
}

/// The outcome of a request to cancel an operation.
#[derive(Debug)]
pub enum Cancelled {
    /// The operation is cancelled, or will be before it takes effect.
    Wanted(Box<Operation>),
    /// The operation had already ended.
    Finished(Box<Operation>),
    /// Its effect may have begun, and cannot be undone.
    Irrevocable(Box<Operation>),
    /// There is no operation with this id.
    Unknown,
}

/// Connects to the record. It works on any history of the log.
///
/// # Errors
/// Postgres's error.
pub async fn connect(options: &PostgresOptions) -> sqlx::Result<Connection> {
    let connect =
        base(options).options([("lock_timeout", "2s"), ("statement_timeout", STATEMENT_TIMEOUT)]);
    Connection::open(&connect, CONNECT_LIMIT, CALL_LIMIT).await
}

/// Records an operation, for a process to take: who asks, and why, in 1 to [`MAX_REASON`]
/// characters.
///
/// # Errors
/// Postgres's error.
pub async fn add(
    connection: &mut Connection,
    request: &Request,
    asked: (Asker<'_>, &str),
) -> sqlx::Result<Added> {
    connection.run(async |raw| record(raw, request, asked).await).await
}

async fn record(
    connection: &mut PgConnection,
    request: &Request,
    ((by, credential), reason): (Asker<'_>, &str),
) -> sqlx::Result<Added> {
    let (kind, target) = (request.kind().as_str(), request.target());
    let mut transaction = connection.begin().await?;
    // One request at a time is recorded, so that each sees the ones before it.
    sqlx::query!("SELECT pg_advisory_xact_lock($1::integer, $2::integer)", LOCKS, ADDING)
        .execute(&mut *transaction)
        .await?;
    let unfinished = sqlx::query_scalar!(
        "SELECT id FROM event_store.operations
         WHERE kind = $1 AND target = $2 AND finished_at IS NULL",
        kind,
        target
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(id) = unfinished
        && let Some(operation) = find(&mut *transaction, id).await?
    {
        return Ok(Added::Busy(Box::new(operation)));
    }
    let added = sqlx::query_scalar!(
        "INSERT INTO event_store.operations
             (id, kind, target, arguments, requested_by, requested_with, reason)
         SELECT $1::uuid, $2::text, $3::text, $4::jsonb, $5::text, $6::uuid, $7::text
         WHERE (SELECT count(*) FROM event_store.operations WHERE finished_at IS NULL) < $8
         RETURNING id",
        Uuid::now_v7(),
        kind,
        target,
        request.arguments(),
        by,
        credential as Option<Uuid>,
        reason,
        MAX_UNFINISHED
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(id) = added else { return Ok(Added::Full) };
    let operation = find(&mut *transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(Added::Queued(Box::new(operation)))
}

/// Finds the operation with this id. One of a kind that this version does not know is not found.
///
/// # Errors
/// Postgres's error.
pub async fn find(connection: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Operation>> {
    Ok(select(connection, &Kind::ALL, Some(id), None, 1).await?.pop())
}

/// Lists operations of these kinds, the newest first: from the newest of all, or from the one
/// before an id.
///
/// # Errors
/// Postgres's error.
pub async fn list(
    connection: impl PgExecutor<'_>,
    kinds: &[Kind],
    before: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Operation>> {
    select(connection, kinds, None, before, limit.into()).await
}

async fn select(
    connection: impl PgExecutor<'_>,
    kinds: &[Kind],
    id: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Operation>> {
    let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    sqlx::query_as!(
        Operation,
        "SELECT id, kind, arguments, requested_by, requested_with, reason, requested_at, state,
                work, attempts, started_at, heartbeat_at, retry_at, irrevocable, cancel_wanted,
                cancelled_by, cancelled_with, result, error, finished_at
         FROM event_store.operations
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
           AND kind = ANY($3::text[])
         ORDER BY id DESC LIMIT $4",
        id as Option<Uuid>,
        before as Option<Uuid>,
        &kinds[..],
        limit
    )
    .fetch_all(connection)
    .await
}

/// Records a request to cancel an operation. A queued operation ends at once.
///
/// # Errors
/// Postgres's error.
pub async fn cancel(
    connection: &mut Connection,
    id: Uuid,
    (by, credential): Asker<'_>,
) -> sqlx::Result<Cancelled> {
    let noted = sqlx::query!(
        "UPDATE event_store.operations
         SET cancel_wanted = true, cancelled_by = COALESCE(cancelled_by, $2),
             cancelled_with = CASE WHEN cancelled_by IS NULL THEN $3::uuid ELSE cancelled_with END,
             state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
             finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
         WHERE id = $1 AND finished_at IS NULL AND NOT irrevocable",
        id,
        by,
        credential as Option<Uuid>
    )
    .execute(&mut *connection)
    .await?;
    let Some(operation) = find(connection, id).await? else { return Ok(Cancelled::Unknown) };
    let (is_finished, operation) = (operation.finished_at.is_some(), Box::new(operation));
    Ok(match (noted.rows_affected(), is_finished) {
        (1, _) => Cancelled::Wanted(operation),
        (_, true) => Cancelled::Finished(operation),
        (_, false) => Cancelled::Irrevocable(operation),
    })
}
