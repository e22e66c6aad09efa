//! Parked events one by one. Never their contents, which may be personal.

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::Serialize;
use uuid::Uuid;

use super::{Page, ParkedError, Wanted};

/// How many are read at a time for an export.
const EXPORT_PAGE: i64 = 1_000;

/// An event that does not count in a row.
#[derive(Debug, Serialize)]
pub struct ParkedEvent {
    /// Of which projection.
    pub projection: String,
    /// Of which generation.
    pub generation: i32,
    /// The key of the row.
    pub key: String,
    /// The position of the event.
    pub position: i64,
    /// The id of the event.
    pub event_id: Uuid,
    /// The type of the event.
    pub event_type: String,
    /// Why the fold refused it; `None`: an earlier event of the row is parked.
    pub cause: Option<String>,
    /// How often it was tried again.
    pub tries: i32,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// When it is tried again by itself.
    pub retry_at: Option<DateTime<Utc>>,
}

/// A page of parked events.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// How many there are in all.
    pub total: i64,
    /// The events, in their order.
    pub page: Vec<ParkedEvent>,
}

/// A page of parked events, in their order.
///
/// # Errors
/// [`ParkedError::NothingParked`] of a row or an event that was asked for,
/// [`ParkedError::Database`].
pub async fn show(
    connection: &mut Connection,
    wanted: &Wanted,
    page: Page,
) -> Result<Shown, ParkedError> {
    let (Wanted { projection: name, key, position }, Page { limit, offset }) = (wanted, page);
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM read_model.parked
           WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR
           position = $3)"#,
        name,
        key.as_deref(),
        *position
    )
    .fetch_one(&mut *connection)
    .await?;
    if total == 0 && (key.is_some() || position.is_some()) {
        return Err(wanted.none());
    }
    let page = sqlx::query_as!(
        ParkedEvent,
        "SELECT projection, generation, key, position, event_id, event_type, cause, tries, \
            parked_at, retry_at
         FROM read_model.parked
         WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR \
         position = $3)
         ORDER BY generation, position, key LIMIT $4 OFFSET $5",
        name,
        key.as_deref(),
        *position,
        limit,
        offset
    )
    .fetch_all(connection)
    .await?;
    Ok(Shown { total, page })
}

/// A page of all parked events of a projection, after the one of this generation, position and row.
/// The last page is empty.
///
/// # Errors
/// As Postgres says.
pub async fn export_after(
    connection: &mut Connection,
    name: &str,
    (generation, position, key): &(i32, i64, String),
) -> sqlx::Result<Vec<ParkedEvent>> {
    sqlx::query_as!(
        ParkedEvent,
        "SELECT projection, generation, key, position, event_id, event_type, cause, tries, \
            parked_at, retry_at
         FROM read_model.parked WHERE projection = $1 AND (generation, position, key) > ($2, $3, $4)
         ORDER BY generation, position, key LIMIT $5",
        name,
        generation,
        position,
        key,
        EXPORT_PAGE
    )
    .fetch_all(connection)
    .await
}
