//! Lists parked events one by one. Never shows their payloads, which may contain personal data.

use chrono::{DateTime, Utc};
use postgres_kit::Connection;
use serde::Serialize;
use uuid::Uuid;

use super::{Page, ParkedError, Wanted};

/// The number of events per page of an export.
const EXPORT_PAGE: i64 = 1_000;

/// An event that a row has not applied.
#[derive(Debug, Serialize)]
pub struct ParkedEvent {
    /// The name of the projection.
    pub projection: String,
    /// The number of the generation.
    pub generation: i32,
    /// The key of the row.
    pub key: String,
    /// The position of the event.
    pub position: i64,
    /// The id of the event.
    pub event_id: Uuid,
    /// The type of the event.
    pub event_type: String,
    /// Why the fold refused it. `None` if it is held back behind an earlier event of the row.
    pub cause: Option<String>,
    /// The number of retries.
    pub tries: i32,
    /// The time at which it was parked.
    pub parked_at: DateTime<Utc>,
    /// The time of the next automatic retry.
    pub retry_at: Option<DateTime<Utc>>,
}

/// A page of parked events.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The total number of matching events.
    pub total: i64,
    /// The events of the page, in order.
    pub page: Vec<ParkedEvent>,
}

/// Returns a page of parked events, in order.
///
/// # Errors
/// [`ParkedError::NothingParked`] if a row or position was given and nothing matches.
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

/// Returns the page of a projection's parked events after the given generation, position and key.
/// The last page is empty.
///
/// # Errors
/// Postgres's error.
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
