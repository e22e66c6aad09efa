//! Pauses: no process projects a paused projection until a person resumes it.
//!
//! A pause is a row of `read_model.pauses`, so it outlives every process. The runner checks the
//! table twice a second, and gives up the partitions of a paused projection between two batches. It
//! checks again right after it has taken a lease. So once a pause is recorded and no lease is held,
//! no process changes the rows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use tokio::time::Instant;

/// How often to check whether the projectors have stopped.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The pause of a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The name of the projection.
    pub projection: String,
    /// Who paused it.
    pub paused_by: String,
    /// Why they paused it.
    pub reason: String,
    /// When it was paused.
    pub since: DateTime<Utc>,
}

/// The result of [`pause`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The pause: an earlier one, if the projection was paused already.
    #[serde(flatten)]
    pub pause: Pause,
    /// Whether every process has stopped projecting. If not, each stops after its batch in flight.
    pub at_rest: bool,
    /// The position up to which the rows that queries see are complete.
    pub position: i64,
}

/// Lists the pauses, by the name of the projection.
///
/// # Errors
/// Postgres's error.
pub async fn all(connection: impl PgExecutor<'_>) -> sqlx::Result<Vec<Pause>> {
    sqlx::query_as!(
        Pause,
        "SELECT projection, paused_by, reason, since FROM read_model.pauses ORDER BY projection"
    )
    .fetch_all(connection)
    .await
}

/// Finds the pause of a projection.
pub(crate) async fn find(
    connection: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Pause>> {
    Ok(all(connection).await?.into_iter().find(|pause| pause.projection == projection))
}

/// Whether a projection is paused.
pub(crate) async fn is_paused(
    connection: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM read_model.pauses WHERE projection = $1) AS "paused!""#,
        projection
    )
    .fetch_one(connection)
    .await
}

/// Pauses a projection, and waits for at most `wait` until every process has stopped projecting it.
/// A projection that is paused already stays paused by the person who paused it first.
///
/// # Errors
/// Postgres's error.
pub async fn pause(
    connection: &mut Connection,
    projection: &str,
    (by, reason): (&str, &str),
    wait: Duration,
) -> sqlx::Result<Paused> {
    let pause = sqlx::query_as!(
        Pause,
        "INSERT INTO read_model.pauses (projection, paused_by, reason) VALUES ($1, $2, $3)
         ON CONFLICT (projection) DO UPDATE SET projection = excluded.projection
         RETURNING projection, paused_by, reason, since",
        projection,
        by,
        reason
    )
    .fetch_one(&mut *connection)
    .await?;
    let until = Instant::now() + wait;
    loop {
        let at_rest = !is_projected(&mut *connection, projection).await?;
        if at_rest || Instant::now() >= until {
            let position = position(&mut *connection, projection).await?;
            return Ok(Paused { pause, at_rest, position });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Lets a projection be projected again. Returns the pause that ended; `None` if there
/// was none.
///
/// # Errors
/// Postgres's error.
pub async fn resume(
    connection: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Pause>> {
    sqlx::query_as!(
        Pause,
        "DELETE FROM read_model.pauses WHERE projection = $1
         RETURNING projection, paused_by, reason, since",
        projection
    )
    .fetch_optional(connection)
    .await
}

/// Whether a process holds a partition of one of the generations that are projected as the log
/// grows. One that is being built is not among them.
async fn is_projected(connection: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM read_model.generations AS g
               JOIN read_model.leases AS l
                   ON starts_with(l.name, read_model.generation_schema(g.projection, g.generation)
                       || '/')
               JOIN pg_stat_activity AS a
                   ON a.pid = l.backend_pid AND a.application_name LIKE '%' || l.owner
               WHERE g.projection = $1 AND g.state = 'ready' AND l.expires_at > clock_timestamp()
           ) AS "projected!""#,
        projection
    )
    .fetch_one(connection)
    .await
}

async fn position(connection: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE(min(c.position), 0) AS "position!"
           FROM read_model.checkpoints AS c JOIN read_model.generations AS g
               USING (projection, generation)
           WHERE c.projection = $1 AND g.live"#,
        projection
    )
    .fetch_one(connection)
    .await
}
