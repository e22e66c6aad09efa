//! One process's attempt at an operation. It holds the lease, and only it writes the record.

use postgres_kit::Connection;
use postgres_kit::{Lease, LeaseTable, Term};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use uuid::Uuid;

use super::told::Stage;
use super::{Kind, MAX_KEPT, Task};
use crate::runner::database;
use crate::runner::lease::LEASE;

/// The maximum number of operations to consider in one round.
const MAX_LOOKED_AT: i64 = 32;

/// An unfinished operation that no process works on.
pub(super) struct Free {
    id: Uuid,
    pub(super) projection: String,
    kind: String,
}

impl Free {
    /// Whether it reads the whole log.
    pub(super) fn is_long(&self) -> bool {
        Kind::named(&self.kind).is_some_and(Kind::is_long)
    }
}

/// Finds the operations that no process works on, for projections with these folds, the oldest
/// first.
pub(super) async fn free(connection: &mut Connection, folds: &[String]) -> sqlx::Result<Vec<Free>> {
    sqlx::query_as!(
        Free,
        "SELECT o.id, o.projection, o.kind
         FROM read_model.operations AS o
         LEFT JOIN read_model.leases AS l ON l.name = 'operation/' || o.projection
         LEFT JOIN pg_stat_activity AS a
             ON a.pid = l.backend_pid AND a.application_name LIKE '%' || l.owner
         WHERE o.finished_at IS NULL AND o.fold = ANY($1)
           AND (a.pid IS NULL OR l.expires_at <= clock_timestamp())
         ORDER BY o.id LIMIT $2",
        folds,
        MAX_LOOKED_AT
    )
    .fetch_all(connection)
    .await
}

/// The work that the record asks for.
#[derive(Debug)]
pub(super) enum Order {
    /// A task that this program knows.
    Task(Task),
    /// A task of another version of this program. The text says what is unknown.
    Unknown(String),
}

/// Whether this attempt still holds the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It does.
    Held {
        /// Whether a person asked to cancel it.
        cancel_wanted: bool,
    },
    /// Another attempt has taken over, or may have done so.
    Lost,
}

/// An attempt at an operation.
pub(super) struct Attempt {
    pub(super) id: Uuid,
    pub(super) projection: String,
    pub(super) order: Order,
    pub(super) by: String,
    pub(super) reason: String,
    /// The number of this attempt, from 1.
    pub(super) number: i32,
    options: PgConnectOptions,
    owner: Uuid,
    lease: Lease,
    term: Term,
    connection: Option<Connection>,
    kept_at: Instant,
}

impl Attempt {
    /// Takes an operation. `None` if another process was first, or the operation has ended.
    pub(super) async fn begin(
        options: &PgConnectOptions,
        free: &Free,
    ) -> sqlx::Result<Option<Self>> {
        // Each attempt has an owner id of its own, so it is never confused with an earlier one.
        let (owner, began) = (Uuid::now_v7(), Instant::now());
        let mut connection = database::connect(options, owner).await?;
        let name = format!("operation/{}", free.projection);
        let lease = Lease::new(LeaseTable::ReadModel, name, owner, LEASE);
        let take = async |raw: &mut PgConnection| lease.take(raw).await;
        let Some(term) = connection.run(take).await? else { return Ok(None) };
        let row = sqlx::query!(
            "UPDATE read_model.operations
             SET state = 'running', worker = $2, attempts = attempts + 1, heartbeat_at = now(),
                 started_at = COALESCE(started_at, now())
             WHERE id = $1 AND finished_at IS NULL
             RETURNING kind, arguments, requested_by, reason, attempts",
            free.id,
            owner
        )
        .fetch_optional(&mut connection)
        .await?;
        let Some(row) = row else {
            connection.run(async |raw: &mut PgConnection| lease.give_up(raw, term).await).await?;
            return Ok(None);
        };
        let read = |kind| Task::read(kind, row.arguments).map_err(|error| error.to_string());
        let task = Kind::named(&row.kind)
            .ok_or_else(|| format!("this program does not know the operation {}", row.kind))
            .and_then(read);
        Ok(Some(Self {
            id: free.id,
            projection: free.projection.clone(),
            order: task.map_or_else(Order::Unknown, Order::Task),
            by: row.requested_by,
            reason: row.reason,
            number: row.attempts,
            options: options.clone(),
            owner,
            lease,
            term,
            connection: Some(connection),
            kept_at: began,
        }))
    }

    /// Whether the lease may have run out.
    pub(super) fn is_late(&self) -> bool {
        self.kept_at.elapsed() > LEASE
    }

    /// Returns a connection that holds the lease. `None` if another attempt holds it.
    async fn hold(&mut self) -> sqlx::Result<Option<Connection>> {
        if let Some(connection) = self.connection.take().filter(Connection::is_open) {
            return Ok(Some(connection));
        }
        let mut connection = database::connect(&self.options, self.owner).await?;
        let lease = &self.lease;
        let take = async |raw: &mut PgConnection| lease.take(raw).await;
        let Some(term) = connection.run(take).await? else { return Ok(None) };
        self.term = term;
        Ok(Some(connection))
    }

    /// Renews the lease and records the progress.
    pub(super) async fn keep(
        &mut self,
        stage: &Stage,
        trouble: Option<&str>,
    ) -> sqlx::Result<Kept> {
        let began = Instant::now();
        let Some(mut connection) = self.hold().await? else { return Ok(Kept::Lost) };
        let (lease, term) = (&self.lease, self.term);
        let renew = async |raw: &mut PgConnection| lease.renew(raw, term).await;
        if !connection.run(renew).await? {
            return Ok(Kept::Lost);
        }
        let cancel_wanted = sqlx::query_scalar!(
            "UPDATE read_model.operations
             SET work = $3, position = $4, end_position = $5, error = $6,
                 heartbeat_at = clock_timestamp()
             WHERE id = $1 AND worker = $2 AND finished_at IS NULL
             RETURNING cancel_wanted",
            self.id,
            self.owner,
            stage.work.as_deref(),
            stage.position,
            stage.end,
            trouble
        )
        .fetch_optional(&mut connection)
        .await?;
        self.connection = Some(connection);
        self.kept_at = began;
        Ok(cancel_wanted.map_or(Kept::Lost, |cancel_wanted| Kept::Held { cancel_wanted }))
    }

    /// Does some work on the connection that holds the lease. `None` if another attempt holds it.
    pub(super) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> sqlx::Result<T>,
    ) -> sqlx::Result<Option<T>> {
        let Some(mut connection) = self.hold().await? else { return Ok(None) };
        let done = work(&mut connection).await?;
        self.connection = Some(connection);
        Ok(Some(done))
    }

    /// Records how the operation ended, and deletes the oldest finished operations.
    pub(super) async fn finish(
        &mut self,
        state: &str,
        result: Option<&Value>,
        error: Option<&str>,
    ) -> sqlx::Result<()> {
        let Some(mut connection) = self.hold().await? else { return Ok(()) };
        sqlx::query!(
            "UPDATE read_model.operations
             SET state = $3, result = $4, error = $5, finished_at = clock_timestamp()
             WHERE id = $1 AND worker = $2 AND finished_at IS NULL",
            self.id,
            self.owner,
            state,
            result,
            error
        )
        .execute(&mut connection)
        .await?;
        sqlx::query!(
            "DELETE FROM read_model.operations WHERE id IN (
                 SELECT id FROM read_model.operations WHERE finished_at IS NOT NULL
                 ORDER BY id DESC OFFSET $1)",
            MAX_KEPT
        )
        .execute(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Gives up the lease, so that another attempt can begin at once.
    pub(super) async fn release(mut self) -> sqlx::Result<()> {
        let Some(mut connection) = self.connection.take().filter(Connection::is_open) else {
            return Ok(());
        };
        let (lease, term) = (&self.lease, self.term);
        connection.run(async |raw: &mut PgConnection| lease.give_up(raw, term).await).await?;
        connection.close().await;
        Ok(())
    }
}
