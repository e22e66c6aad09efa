//! The record of operations: asked for, listed, cancelled.

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{MAX_UNFINISHED, Task};
use crate::generation;
use crate::projection::AnyProjection;

/// The most characters of a name or a reason.
pub const MAX_WORDS: usize = 1_000;
/// How often to try to add one while others come and go.
const ADD_TRIES: usize = 3;

/// An operation as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id, a UUID of version 7.
    pub id: Uuid,
    /// What kind of thing was asked for.
    pub kind: String,
    /// Of which projection.
    pub projection: String,
    /// With which arguments.
    pub arguments: Value,
    /// Who asked for it.
    pub requested_by: String,
    /// Why it was asked for, in the words of who asked.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// What is being done, in words.
    pub work: Option<String>,
    /// How far that is, as a position of the log.
    pub position: i64,
    /// Where that ends.
    pub end_position: i64,
    /// How often a process has taken it.
    pub attempts: i32,
    /// When the first one did.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last one was last known to live.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// Whether it is to be cancelled.
    pub cancel_wanted: bool,
    /// Who wants that.
    pub cancelled_by: Option<String>,
    /// What it found or did.
    pub result: Option<Value>,
    /// Why it failed; while it runs, what it waits for.
    pub error: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Operation {
    /// Whether it has ended.
    pub const fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// Something that a person asks for. Who and why are 1 to [`MAX_WORDS`] characters.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What, with arguments that [`Task::check`] finds nothing wrong with.
    pub task: &'a Task,
    /// Who asked for it.
    pub by: &'a str,
    /// Why it was asked for, in the words of who asked.
    pub reason: &'a str,
}

/// Why an operation was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The read model failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The arguments are no JSON.
    #[error("the arguments cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// Another one works on the projection.
    #[error("operation {} ({} by {}) works on {}", .0.id, .0.kind, .0.requested_by, .0.projection)]
    Busy(Box<Operation>),
    /// Too many wait.
    #[error("{MAX_UNFINISHED} operations wait already")]
    Full,
}

/// What became of the wish to cancel an operation.
#[derive(Debug)]
pub enum Cancelled {
    /// It is cancelled, or will be soon.
    Wanted(Box<Operation>),
    /// It has ended before.
    Finished(Box<Operation>),
    /// There is none of that id.
    Unknown,
}

/// Records an operation, for an executor to take.
///
/// # Errors
/// [`AddError`].
pub async fn add(
    connection: &mut Connection,
    projection: &dyn AnyProjection,
    asked: Asked<'_>,
) -> Result<Operation, AddError> {
    let Asked { task, by, reason } = asked;
    let (name, id) = (projection.name(), Uuid::now_v7());
    for _ in 0..ADD_TRIES {
        let added = sqlx::query!(
            "INSERT INTO read_model.operations
                 (id, kind, projection, fold, arguments, requested_by, reason)
             SELECT $1::uuid, $2::text, $3::text, $4::text, $5::jsonb, $6::text, $7::text
             WHERE (SELECT count(*) FROM read_model.operations WHERE finished_at IS NULL) < $8
             ON CONFLICT (projection) WHERE finished_at IS NULL DO NOTHING",
            id,
            task.kind().as_str(),
            name,
            generation::fold_of(projection),
            task.arguments()?,
            by,
            reason,
            MAX_UNFINISHED
        )
        .execute(&mut *connection)
        .await?;
        if added.rows_affected() == 1
            && let Some(operation) = find(&mut *connection, id).await?
        {
            return Ok(operation);
        }
        let unfinished = sqlx::query_scalar!(
            "SELECT id FROM read_model.operations WHERE projection = $1 AND finished_at IS NULL",
            name
        )
        .fetch_optional(&mut *connection)
        .await?;
        // One that has ended meanwhile is in nobody's way.
        if let Some(id) = unfinished
            && let Some(operation) = find(&mut *connection, id).await?
        {
            return Err(AddError::Busy(Box::new(operation)));
        }
    }
    Err(AddError::Full)
}

/// The operation of this id.
///
/// # Errors
/// As Postgres says.
pub async fn find(connection: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Operation>> {
    Ok(select(connection, Some(id), None, 1).await?.pop())
}

/// Operations, the newest first: the newest of all, or those before one.
///
/// # Errors
/// As Postgres says.
pub async fn list(
    connection: impl PgExecutor<'_>,
    before: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Operation>> {
    select(connection, None, before, limit.into()).await
}

async fn select(
    connection: impl PgExecutor<'_>,
    id: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Operation>> {
    sqlx::query_as!(
        Operation,
        "SELECT id, kind, projection, arguments, requested_by, reason, requested_at, state, work,
                position, end_position, attempts, started_at, heartbeat_at, cancel_wanted,
                cancelled_by, result, error, finished_at
         FROM read_model.operations
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
        id as Option<Uuid>,
        before as Option<Uuid>,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Notes that somebody wants an operation cancelled. One that nobody has taken ends at once.
///
/// # Errors
/// As Postgres says.
pub async fn cancel(connection: &mut Connection, id: Uuid, by: &str) -> sqlx::Result<Cancelled> {
    let noted = sqlx::query!(
        "UPDATE read_model.operations
         SET cancel_wanted = true, cancelled_by = COALESCE(cancelled_by, $2),
             state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
             finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
         WHERE id = $1 AND finished_at IS NULL",
        id,
        by
    )
    .execute(&mut *connection)
    .await?;
    let Some(operation) = find(connection, id).await? else { return Ok(Cancelled::Unknown) };
    let operation = Box::new(operation);
    Ok(if noted.rows_affected() == 1 {
        Cancelled::Wanted(operation)
    } else {
        Cancelled::Finished(operation)
    })
}
