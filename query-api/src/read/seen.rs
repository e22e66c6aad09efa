//! What a snapshot shows: the smallest position of the projections that an answer reads, and of which history.

use service_kit::consistency::{ConsistencyToken, TokenError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Projection;
use super::failure::ReadError;

/// Up to where a snapshot is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The history; none before the first event.
    pub epoch: Option<Uuid>,
    /// The smallest position of all parts.
    pub position: i64,
    /// Whether what is shown lacks events that could not be applied.
    pub stale: bool,
}

struct Checkpoint {
    projection: String,
    epoch: Option<Uuid>,
    position: i64,
    event_id: Option<Uuid>,
    stale: bool,
}

/// Reads the checkpoints in the caller's snapshot (it is stale if any row of the projections is) and, if a position is wanted, checks that it is shown.
pub(super) async fn look(
    snapshot: &mut PgConnection,
    projections: &[Projection],
    wanted: Option<&ConsistencyToken>,
) -> Result<Seen, ReadError> {
    let mut checkpoints = sqlx::query_file_as!(Checkpoint, "sql/checkpoints/live.sql").fetch_all(snapshot).await?;
    checkpoints.retain(|checkpoint| projections.contains(&checkpoint.projection.as_str()));
    if !projections.iter().all(|name| checkpoints.iter().any(|checkpoint| checkpoint.projection == *name)) {
        return Err(ReadError::NotProjected);
    }
    let slowest = checkpoints.iter().min_by_key(|checkpoint| checkpoint.position).ok_or(ReadError::NotProjected)?;
    let stale = checkpoints.iter().any(|checkpoint| checkpoint.stale);
    let seen = Seen { epoch: slowest.epoch, position: slowest.position, stale };
    if let Some(token) = wanted {
        checkpoints.iter().try_for_each(|checkpoint| same_history(checkpoint, token))?;
        if seen.position < token.position {
            return Err(ReadError::Behind { seen: seen.position, wanted: token.position });
        }
    }
    Ok(seen)
}

/// A position means something within one history only: the epoch must be the token's, and where both name the same
/// position, the event there too.
fn same_history(checkpoint: &Checkpoint, token: &ConsistencyToken) -> Result<(), TokenError> {
    let Some(epoch) = checkpoint.epoch else { return Ok(()) };
    token.check_epoch(epoch)?;
    let same_event = checkpoint.event_id.is_none_or(|id| id == token.event_id);
    if checkpoint.position == token.position && !same_event { Err(TokenError::OtherEpoch) } else { Ok(()) }
}
