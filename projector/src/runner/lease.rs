//! Who projects a part: a row with a term that rises at every change of hands.
//!
//! The lease only keeps two processes from doing the same work; what keeps them from doing harm is the term on the checkpoint.
//! A lease is free when it has expired, when it was given up, or when its owner's connection is gone. Whoever takes it ends
//! that connection, since an owner that is frozen in mid-transaction would go on holding its row locks.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// How long a lease holds without a renewal.
pub const LEASE: Duration = Duration::from_secs(9);
/// How often it is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// What a process calls its connections, so that a backend is never taken for another that got the same pid later.
pub(crate) fn application_name(owner: Uuid) -> String {
    format!("projector {owner}")
}

/// Takes the lease for the process `owner`, whose connection this is, if it is free. Returns the new term.
///
/// Runs a transaction: call in a task that nobody cancels.
pub(crate) async fn claim(connection: &mut PgConnection, name: &str, owner: Uuid) -> sqlx::Result<Option<i64>> {
    if is_taken(connection, name, owner).await? {
        return Ok(None);
    }
    sqlx::query!("INSERT INTO read_model.leases (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
        .execute(&mut *connection)
        .await?;
    let mut transaction = connection.begin().await?;
    let held = sqlx::query!(
        r#"SELECT owner, backend_pid, expires_at < clock_timestamp() AS "expired!",
                  EXISTS (SELECT FROM pg_stat_activity AS a
                          WHERE a.pid = backend_pid AND a.application_name = 'projector ' || owner) AS "connected!"
           FROM read_model.leases WHERE name = $1 FOR UPDATE"#,
        name
    )
    .fetch_one(&mut *transaction)
    .await?;
    let others = held.owner.filter(|holder| *holder != owner);
    if others.is_some() && held.connected && !held.expired {
        transaction.rollback().await?;
        return Ok(None);
    }
    let term = sqlx::query_scalar!(
        "UPDATE read_model.leases
         SET owner = $2, term = term + 1, backend_pid = pg_backend_pid(), expires_at = clock_timestamp() + $3::interval
         WHERE name = $1 RETURNING term",
        name,
        owner,
        interval(LEASE)
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    if let (Some(holder), Some(pid), true) = (held.owner, held.backend_pid, held.connected) {
        end_backend(connection, holder, pid).await?;
    }
    Ok(Some(term))
}

/// Whether another process has the lease, asked without a lock: a stand-by asks every second.
async fn is_taken(connection: &mut PgConnection, name: &str, owner: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM read_model.leases AS l
                          JOIN pg_stat_activity AS a ON a.pid = l.backend_pid AND a.application_name = 'projector ' || l.owner
                          WHERE l.name = $1 AND l.owner <> $2 AND l.expires_at >= clock_timestamp()) AS "taken!""#,
        name,
        owner
    )
    .fetch_one(connection)
    .await
}

/// Makes the lease hold for another [`LEASE`]. `false`: it is somebody else's.
pub(crate) async fn renew(connection: &mut PgConnection, name: &str, owner: Uuid, term: i64) -> sqlx::Result<bool> {
    let renewed = sqlx::query!(
        "UPDATE read_model.leases SET expires_at = clock_timestamp() + $4::interval WHERE name = $1 AND owner = $2 AND term = $3",
        name,
        owner,
        term,
        interval(LEASE)
    )
    .execute(connection)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives the lease up, if it is still this owner's.
pub(crate) async fn release(connection: &mut PgConnection, name: &str, owner: Uuid, term: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.leases SET owner = NULL, backend_pid = NULL, expires_at = '-infinity'
         WHERE name = $1 AND owner = $2 AND term = $3",
        name,
        owner,
        term
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn end_backend(connection: &mut PgConnection, owner: Uuid, pid: i32) -> sqlx::Result<()> {
    let ended = sqlx::query_scalar!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = $1 AND pid <> pg_backend_pid() AND application_name = 'projector ' || $2::uuid",
        pid,
        owner
    )
    .fetch_optional(connection)
    .await?;
    if ended.is_some() {
        tracing::warn!(pid, %owner, "took the lease over and ended the connection of its last owner");
    }
    Ok(())
}

fn interval(duration: Duration) -> PgInterval {
    // Microseconds of a few seconds always fit.
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
