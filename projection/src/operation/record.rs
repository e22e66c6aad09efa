//! The record of operations: adds, lists and cancels them.

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, PgExecutor};
use uuid::Uuid;

use super::{MAX_UNFINISHED, Task};
use crate::generation;
use crate::projection::AnyProjection;

/// The maximum number of characters of a name or a reason.
pub const MAX_WORDS: usize = 1_000;
/// The key of the advisory lock under which requests are recorded.
const ADDING: i64 = 0x0DA1_B00D;

/// A recorded operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The id, a UUID of version 7.
    pub id: Uuid,
    /// The name of its [`Kind`](super::Kind).
    pub kind: String,
    /// The name of the projection.
    pub projection: String,
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
    /// A description of the current work; `None` before it begins.
    pub work: Option<String>,
    /// The position of the log that the current work has reached.
    pub position: i64,
    /// The position at which the current work ends; 0 if it does not read the log.
    pub end_position: i64,
    /// The number of attempts: how often a process has taken it.
    pub attempts: i32,
    /// When the first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the latest attempt last recorded progress.
    pub heartbeat_at: Option<DateTime<Utc>>,
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

impl Operation {
    /// Whether it has ended.
    pub const fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// Who asks: a text, and the session or API key that proves it.
pub type Asker<'a> = (&'a str, Option<Uuid>);

/// A request for an operation. Who and why are 1 to [`MAX_WORDS`] characters each.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The task, with arguments that [`Task::check`] accepts.
    pub task: &'a Task,
    /// Who asks.
    pub asker: Asker<'a>,
    /// Why they ask.
    pub reason: &'a str,
}

/// Why an operation was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The arguments could not be written as JSON.
    #[error("the arguments could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// Another operation works on the projection, or waits to.
    #[error("operation {} ({} by {}) works on {}", .0.id, .0.kind, .0.requested_by, .0.projection)]
    Busy(Box<Operation>),
    /// Too many operations wait.
    #[error("{MAX_UNFINISHED} operations wait already")]
    Full,
}

/// The outcome of a request to cancel an operation.
#[derive(Debug)]
pub enum Cancelled {
    /// The operation is cancelled, or will be soon.
    Wanted(Box<Operation>),
    /// The operation had already ended.
    Finished(Box<Operation>),
    /// There is no operation with this id.
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
    connection.run(async |raw| record(raw, projection, asked).await).await
}

async fn record(
    connection: &mut PgConnection,
    projection: &dyn AnyProjection,
    Asked { task, asker: (by, credential), reason }: Asked<'_>,
) -> Result<Operation, AddError> {
    let name = projection.name();
    let mut transaction = connection.begin().await?;
    // One request at a time is recorded, so that each sees the ones before it.
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", ADDING).execute(&mut *transaction).await?;
    let unfinished = sqlx::query_scalar!(
        "SELECT id FROM read_model.operations WHERE projection = $1 AND finished_at IS NULL",
        name
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(id) = unfinished
        && let Some(operation) = find(&mut *transaction, id).await?
    {
        return Err(AddError::Busy(Box::new(operation)));
    }
    let added = sqlx::query_scalar!(
        "INSERT INTO read_model.operations
             (id, kind, projection, fold, arguments, requested_by, requested_with, reason)
         SELECT $1::uuid, $2::text, $3::text, $4::text, $5::jsonb, $6::text, $7::uuid, $8::text
         WHERE (SELECT count(*) FROM read_model.operations WHERE finished_at IS NULL) < $9
         RETURNING id",
        Uuid::now_v7(),
        task.kind().as_str(),
        name,
        generation::fold_of(projection),
        task.arguments()?,
        by,
        credential as Option<Uuid>,
        reason,
        MAX_UNFINISHED
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let id = added.ok_or(AddError::Full)?;
    let operation = find(&mut *transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(operation)
}

/// Finds the operation with this id.
///
/// # Errors
/// Postgres's error.
pub async fn find(connection: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Operation>> {
    Ok(select(connection, Some(id), None, 1).await?.pop())
}

/// Lists operations, the newest first: from the newest of all, or from the one before an id.
///
/// # Errors
/// Postgres's error.
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
        "SELECT id, kind, projection, arguments, requested_by, requested_with, reason,
                requested_at, state, work, position, end_position, attempts, started_at,
                heartbeat_at, cancel_wanted, cancelled_by, cancelled_with, result, error,
                finished_at
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
        "UPDATE read_model.operations
         SET cancel_wanted = true, cancelled_by = COALESCE(cancelled_by, $2),
             cancelled_with = CASE WHEN cancelled_by IS NULL THEN $3::uuid ELSE cancelled_with END,
             state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
             finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
         WHERE id = $1 AND finished_at IS NULL",
        id,
        by,
        credential as Option<Uuid>
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
