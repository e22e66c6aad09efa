//! Why a question has no answer. All database errors are classified here.

use axum::http::StatusCode;
use postgres_kit::sqlstate::{
    DATA_EXCEPTION, FEATURE_NOT_SUPPORTED, INSUFFICIENT_RESOURCES, INVALID_SCHEMA_NAME,
    INVALID_SQL_STATEMENT_NAME, QUERY_CANCELED, UNDEFINED_TABLE, sqlstate,
};
use service_kit::Problem;
use service_kit::consistency::TokenError;
use service_kit::shed::{LINE_EVERY, LogLimit};

use crate::page::CursorError;

/// On a replica: the query stood in the way of what it had to replay.
const SERIALIZATION_FAILURE: &str = "40001";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The tables do not show the wanted position yet.
    #[error("the read tables are at position {seen}, {wanted} is wanted")]
    Behind {
        /// The position that the tables show.
        seen: i64,
        /// The wanted position.
        wanted: i64,
    },
    /// The wanted position belongs to another history.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The page cursor has another form.
    #[error(transparent)]
    Cursor(CursorError),
    /// The process has reached its limit of waiting queries.
    #[error("too many queries wait for a position")]
    TooManyWaiters,
    /// The database cannot be reached, or no connection became free in time.
    #[error("the read tables cannot be reached")]
    Away(#[source] sqlx::Error),
    /// A projection has no live tables yet.
    #[error("a projection has no live tables yet")]
    NotProjected,
    /// The database stopped the statement at its time limit.
    #[error("the query took too long")]
    TooSlow,
    /// A parameter does not fit its column. The code that parsed it should have refused it.
    #[error("a parameter is beyond what its column can hold")]
    NotStorable(#[source] sqlx::Error),
    /// The view's columns changed after a statement was prepared.
    #[error("a prepared statement is out of date")]
    PlanChanged,
    /// The snapshot has ended, because an earlier question in it failed or it was open for too
    /// long.
    #[error("the snapshot in which this was asked has ended")]
    SnapshotLost,
    /// Any other error, which is a bug.
    #[error("the query failed")]
    Failed(#[source] sqlx::Error),
    /// A row could not be written, which is a bug.
    #[error("a row cannot be written")]
    NotWritten(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The task that read the tables panicked.
    #[error("the task that read the tables ended unexpectedly")]
    Panicked(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The value of `Retry-After`, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;
/// The maximum number of log lines for failures of one kind in a window of [`LINE_EVERY`].
const MAX_LINES: u32 = 10;

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

impl ReadError {
    /// Whether the connection broke. Another connection may then still answer.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Away(cause) if !matches!(cause,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed))
    }
}

impl ReadError {
    /// Whether another server may answer.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Self::Away(_)) || self.is_conflict_with_replay()
    }

    /// Whether a replica stopped the query, because it had to replay a change of the tables.
    pub(super) fn is_conflict_with_replay(&self) -> bool {
        matches!(self, Self::Failed(cause)
            if sqlstate(cause).as_deref() == Some(SERIALIZATION_FAILURE))
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            Some(FEATURE_NOT_SUPPORTED | INVALID_SQL_STATEMENT_NAME) => Self::PlanChanged,
            Some(QUERY_CANCELED) => Self::TooSlow,
            Some(code) if code.starts_with(DATA_EXCEPTION) => Self::NotStorable(error),
            // The projector has not made the table or schema yet, or this role may not read it yet.
            Some(UNDEFINED_TABLE | INVALID_SCHEMA_NAME) => Self::NotProjected,
            Some(code)
                if ["08", INSUFFICIENT_RESOURCES, "57P"].iter().any(|c| code.starts_with(c)) =>
            {
                Self::Away(error)
            }
            Some(_) => Self::Failed(error),
            None => match error {
                sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => Self::Away(error),
                sqlx::Error::Encode(cause) => match cause.downcast::<CursorError>() {
                    Ok(cursor) => Self::Cursor(*cursor),
                    Err(cause) => Self::Failed(sqlx::Error::Encode(cause)),
                },
                error => Self::Failed(error),
            },
        }
    }
}

impl ReadError {
    /// Logs failures that a person should look at.
    ///
    /// While the database is away every query fails. So each kind is logged at most [`MAX_LINES`]
    /// times in a window of [`LINE_EVERY`](service_kit::shed::LINE_EVERY), and the rest is counted.
    pub(super) fn log(&self) {
        match self {
            Self::Away(cause) => {
                if let Some(unlogged) = LINES.admit("away", MAX_LINES) {
                    tracing::warn!(error = %cause, unlogged, "the read tables cannot be reached");
                }
            }
            Self::TooSlow => {
                if let Some(unlogged) = LINES.admit("too-slow", MAX_LINES) {
                    tracing::warn!(unlogged, "a query was stopped at its time limit");
                }
            }
            Self::NotStorable(cause) => {
                tracing::error!(error = %cause, "a parameter got past its reader");
            }
            Self::Failed(cause) => {
                if let Some(unlogged) = LINES.admit("failed", MAX_LINES) {
                    tracing::error!(error = %cause, unlogged, "a query failed");
                }
            }
            Self::NotWritten(cause) => tracing::error!(error = %cause, "a row cannot be written"),
            Self::Panicked(cause) => tracing::error!(error = %cause, "a read ended unexpectedly"),
            // These are part of normal operation, and the answer says everything.
            Self::Behind { .. }
            | Self::Token(_)
            | Self::Cursor(_)
            | Self::TooManyWaiters
            | Self::NotProjected
            | Self::PlanChanged
            | Self::SnapshotLost => {}
        }
    }
}

/// The answer if the tables do not show the wanted position yet.
fn not_yet_consistent(seen: i64, wanted: i64) -> Problem {
    let title = "The data do not show the wanted position yet";
    Problem::unavailable("not-yet-consistent", title, RETRY_AFTER_SECONDS).detail(if seen < wanted {
        format!("they are complete up to position {seen}, {wanted} is wanted")
    } else {
        format!(
            "they are complete up to position {seen} of an earlier history than that of position \
            {wanted}"
        )
    })
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        error.log();
        match error {
            ReadError::Behind { seen, wanted } => not_yet_consistent(seen, wanted),
            ReadError::Token(error) => error.into(),
            ReadError::Cursor(error) => error.into(),
            ReadError::TooManyWaiters => Self::shed(
                "too-many-waiting",
                "Too many queries are waiting for newer data",
                RETRY_AFTER_SECONDS,
            ),
            ReadError::Away(_) => Self::unavailable(
                "read-model-unavailable",
                "The data cannot be reached at the moment",
                RETRY_AFTER_SECONDS,
            ),
            ReadError::NotProjected => Self::unavailable(
                "not-yet-projected",
                "The data have not been worked out yet",
                RETRY_AFTER_SECONDS,
            ),
            ReadError::TooSlow => {
                Self::unavailable("query-too-slow", "The query took too long", RETRY_AFTER_SECONDS)
            }
            ReadError::NotStorable(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "value-not-storable",
                "A parameter is beyond what the data can hold",
            ),
            ReadError::PlanChanged => Self::unavailable(
                "tables-switched",
                "The tables were being switched",
                RETRY_AFTER_SECONDS,
            ),
            ReadError::SnapshotLost => Self::unavailable(
                "snapshot-lost",
                "The data could not be read at once",
                RETRY_AFTER_SECONDS,
            ),
            ReadError::Failed(_) | ReadError::NotWritten(_) | ReadError::Panicked(_) => {
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::page::{PageRequest, PageStart};

    #[test]
    fn a_cursor_with_another_sort_key_is_refused() {
        let start = PageStart::After(json!(["x", 1]));
        let request = PageRequest { sort: (), start, size: 20 };
        let problem = Problem::from(ReadError::from(request.after::<i64, Uuid>().unwrap_err()));
        assert_eq!((problem.status().as_u16(), problem.code()), (400, "cursor-invalid"));
    }
}
