//! The position that a snapshot shows: the smallest one of the partitions that an answer reads, and
//! its epoch.

use service_kit::consistency::{ConsistencyToken, TokenError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::ReadError;
use crate::scope::ReadScope;

/// The position up to which a snapshot is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The epoch, which names the history of the log. `None` before the first event.
    pub epoch: Option<Uuid>,
    /// The smallest position of all partitions that the answer reads.
    pub position: i64,
    /// Whether the answer lacks events that could not be applied.
    pub stale: bool,
    /// Whether any row of the projections that the answer reads lacks events.
    pub any_stale: bool,
    /// The live generation of each projection that the answer reads, in the order of the question.
    pub generations: Vec<i32>,
}

/// The checkpoint of one partition in a live generation.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) projection: String,
    pub(super) generation: i32,
    pub(super) partition: i32,
    pub(super) partitions: i32,
    pub(super) epoch: Option<Uuid>,
    pub(super) position: i64,
    pub(super) event_id: Option<Uuid>,
    pub(super) stale: bool,
}

/// Reads all checkpoints in the caller's snapshot, for a question that takes several statements.
pub(super) async fn checkpoints(snapshot: &mut PgConnection) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query_file_as!(Checkpoint, "sql/checkpoints/live.sql").fetch_all(snapshot).await
}

/// Computes the position that a snapshot shows of `scopes`, from its checkpoints.
///
/// The result is stale if any row of the projections is. If a position is wanted, the snapshot must
/// show it, otherwise this is an error.
pub(super) fn shown(
    checkpoints: &[Checkpoint],
    scopes: &[ReadScope],
    wanted: Option<&ConsistencyToken>,
) -> Result<Seen, ReadError> {
    let is_of = |scope: &ReadScope, at: &Checkpoint| {
        scope.projection == at.projection && scope.reads(at.partition, at.partitions)
    };
    // The rows of a statement are joined to the first partition.
    let has_first = |scope: &ReadScope| {
        checkpoints.iter().any(|at| at.projection == scope.projection && at.partition == 0)
    };
    if !scopes.iter().all(has_first) {
        return Err(ReadError::NotProjected);
    }
    let is_read = |at: &&Checkpoint| scopes.iter().any(|scope| is_of(scope, at));
    let checkpoints: Vec<&Checkpoint> = checkpoints.iter().filter(is_read).collect();
    if !scopes.iter().all(|scope| checkpoints.iter().any(|checkpoint| is_of(scope, checkpoint))) {
        return Err(ReadError::NotProjected);
    }
    let slowest = checkpoints
        .iter()
        .min_by_key(|checkpoint| checkpoint.position)
        .ok_or(ReadError::NotProjected)?;
    let stale = checkpoints.iter().any(|checkpoint| checkpoint.stale);
    let generation =
        |scope: &ReadScope| checkpoints.iter().find(|at| is_of(scope, at)).map(|at| at.generation);
    let generations = scopes.iter().filter_map(generation).collect();
    let (epoch, position) = (slowest.epoch, slowest.position);
    let seen = Seen { epoch, position, stale, any_stale: stale, generations };
    if let Some(token) = wanted {
        let behind = ReadError::Behind { seen: seen.position, wanted: token.position };
        // This checks all of them, because a checkpoint of another history is an error that waiting
        // cannot fix.
        let histories = checkpoints
            .iter()
            .map(|checkpoint| history(checkpoint, token))
            .collect::<Result<Vec<_>, _>>()?;
        if histories.contains(&History::Earlier) || seen.position < token.position {
            return Err(behind);
        }
    }
    Ok(seen)
}

/// How the epoch of a checkpoint relates to that of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    Same,
    /// The token's epoch is later. The projection has not followed yet, or waits for a person.
    Earlier,
}

/// Compares the history of a checkpoint with that of a token.
///
/// Positions are comparable within one history only. The epochs must be the same. If both name the
/// same position, the event there must be the same too. Epochs are UUIDv7, and each is later than
/// the ones before it.
fn history(checkpoint: &Checkpoint, token: &ConsistencyToken) -> Result<History, TokenError> {
    let Some(epoch) = checkpoint.epoch else { return Ok(History::Same) };
    if epoch < token.epoch {
        return Ok(History::Earlier);
    }
    token.check_epoch(epoch)?;
    let same_event = checkpoint.event_id.is_none_or(|id| id == token.event_id);
    if checkpoint.position == token.position && !same_event {
        Err(TokenError::OtherEpoch)
    } else {
        Ok(History::Same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Uuid = Uuid::from_u128(1);
    const NEW: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_token_of_a_later_epoch_is_waited_for_and_one_of_an_earlier_is_refused() {
        let checkpoint = |epoch, event_id| Checkpoint {
            projection: "users".to_owned(),
            generation: 1,
            partition: 0,
            partitions: 1,
            epoch,
            position: 5,
            event_id: Some(Uuid::from_u128(event_id)),
            stale: false,
        };
        let token = |epoch| ConsistencyToken { epoch, position: 5, event_id: Uuid::from_u128(50) };
        for (shown, token, expected) in [
            (checkpoint(None, 50), token(NEW), Ok(History::Same)),
            (checkpoint(Some(NEW), 50), token(NEW), Ok(History::Same)),
            (checkpoint(Some(OLD), 50), token(NEW), Ok(History::Earlier)),
            (checkpoint(Some(OLD), 51), token(NEW), Ok(History::Earlier)),
            (checkpoint(Some(NEW), 50), token(OLD), Err(TokenError::OtherEpoch)),
            (checkpoint(Some(NEW), 51), token(NEW), Err(TokenError::OtherEpoch)),
        ] {
            assert_eq!(history(&shown, &token), expected);
        }
    }
}
