//! Skips an event: a person's recorded decision, with name and reason, never to apply it to a row.
//!
//! A skip belongs to the projection and the event, not to a generation. So every generation must
//! have the event parked for that row. Otherwise, their rows would no longer be the same function
//! of the log.

use postgres_kit::Connection;
use sqlx::{Connection as _, PgConnection};

use super::ParkedError;
use crate::generation;
use crate::projection::AnyProjection;

/// The maximum number of decisions per projection.
const MAX_SKIPS: i64 = 10_000;
/// The maximum number of characters of a name or a reason.
pub const MAX_WORDS: usize = 1_000;

/// A person's decision to skip an event.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The position of the event.
    pub position: i64,
    /// The key of the row; by default every row that refused the event.
    pub key: Option<String>,
    /// Why the event is skipped; 1 to [`MAX_WORDS`] characters.
    pub reason: String,
    /// Who decided; 1 to [`MAX_WORDS`] characters.
    pub by: String,
}

/// Why an event was not skipped.
#[derive(Debug, thiserror::Error)]
pub enum SkipError {
    /// No row refused the event.
    #[error("no row refuses the event at position {0}: see `projector parked show`")]
    NotRefused(i64),
    /// A generation is being built, and may already have passed the event.
    #[error(
        "generation {0} is being built, and may apply the event: wait until it is done, or drop it"
    )]
    Building(i32),
    /// A generation applied the event, or has not reached it yet.
    #[error(
        "generation {0} does not have the event parked for the same rows: drop that generation, \
            or wait until it reaches the event"
    )]
    NotParkedEverywhere(i32),
    /// There are too many decisions.
    #[error(
        "{MAX_SKIPS} events are already skipped: a new fold version that reads them is \
            needed"
    )]
    TooMany,
}

/// Skips an event. Returns the number of rows concerned.
///
/// # Errors
/// [`ParkedError`].
pub async fn skip(
    connection: &mut Connection,
    projection: &dyn AnyProjection,
    decision: &Decision,
) -> Result<usize, ParkedError> {
    let name = projection.name();
    let parse =
        |key: &String| projection.key(key).ok_or_else(|| ParkedError::NotAKey(name, key.clone()));
    let key = decision.key.as_ref().map(parse).transpose()?;
    let decision = &Decision { key, ..decision.clone() };
    connection.run(async |raw: &mut PgConnection| skip_with(raw, name, decision).await).await
}

async fn skip_with(
    connection: &mut PgConnection,
    name: &str,
    decision: &Decision,
) -> Result<usize, ParkedError> {
    let mut transaction = connection.begin().await?;
    generation::lock(&mut transaction).await?;
    // These locks keep owners from moving or retrying meanwhile.
    sqlx::query!("SELECT FROM read_model.checkpoints WHERE projection = $1 FOR UPDATE", name)
        .fetch_all(&mut *transaction)
        .await?;
    let generations = sqlx::query!(
        "SELECT generation, state FROM read_model.generations WHERE projection = $1 \
            ORDER BY generation",
        name
    )
    .fetch_all(&mut *transaction)
    .await?;
    if let Some(building) = generations.iter().find(|generation| generation.state == "building") {
        return Err(SkipError::Building(building.generation).into());
    }
    let skipped = sqlx::query_scalar!(
        "INSERT INTO read_model.skips (projection, position, key, event_id, event_type, cause, \
            skipped_by, reason)
         SELECT DISTINCT ON (key) projection, position, key, event_id, event_type, cause, $4, $5 \
         FROM read_model.parked
         WHERE projection = $1 AND position = $2 AND ($3::text IS NULL OR key = $3) AND cause IS \
         NOT NULL
         ORDER BY key, generation
         ON CONFLICT (projection, position, key) DO UPDATE SET skipped_by = excluded.skipped_by, \
         reason = excluded.reason
         RETURNING key",
        name,
        decision.position,
        decision.key.as_deref(),
        decision.by,
        decision.reason
    )
    .fetch_all(&mut *transaction)
    .await?;
    if skipped.is_empty() {
        return Err(SkipError::NotRefused(decision.position).into());
    }
    for generation in &generations {
        parked_alike(&mut transaction, name, (generation.generation, decision.position), &skipped)
            .await?;
    }
    let decisions = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM read_model.skips WHERE projection = $1"#,
        name
    )
    .fetch_one(&mut *transaction)
    .await?;
    if decisions > MAX_SKIPS {
        return Err(SkipError::TooMany.into());
    }
    ask_to_retry(&mut transaction, name, decision.position, &skipped).await?;
    transaction.commit().await?;
    Ok(skipped.len())
}

/// Checks that a generation has the event parked for all these rows.
async fn parked_alike(
    connection: &mut PgConnection,
    name: &str,
    (generation, position): (i32, i64),
    keys: &[String],
) -> Result<(), ParkedError> {
    let parked = sqlx::query_scalar!(
        r#"SELECT count(*) AS "parked!" FROM read_model.parked
               WHERE projection = $1 AND generation = $2 AND position = $3 AND key = ANY($4)"#,
        name,
        generation,
        position,
        keys
    )
    .fetch_one(connection)
    .await?;
    if usize::try_from(parked) == Ok(keys.len()) {
        Ok(())
    } else {
        Err(SkipError::NotParkedEverywhere(generation).into())
    }
}

/// Asks the owners of these rows to retry the events held back behind this one.
async fn ask_to_retry(
    connection: &mut PgConnection,
    name: &str,
    position: i64,
    keys: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO read_model.retry_requests (projection, generation, key)
         SELECT projection, generation, key FROM read_model.parked WHERE projection = $1 AND \
         position = $2 AND key = ANY($3)
         ON CONFLICT (projection, generation, key) DO UPDATE SET requested_at = \
         excluded.requested_at",
        name,
        position,
        keys
    )
    .execute(connection)
    .await?;
    Ok(())
}
