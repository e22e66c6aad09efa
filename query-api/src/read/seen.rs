//! The position that a snapshot shows: the smallest one of the partitions that an answer reads, and
//! its epoch.

use std::time::Duration;

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
    /// How old the shown rows are: the time since they were last known to show every event. `None`
    /// if that is not known of one of the partitions that the answer reads.
    pub lag: Option<Duration>,
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
    /// The time since the rows were last known to show every event, in seconds. It is below zero if
    /// the clocks of the two databases differ.
    pub(super) lag: Option<f64>,
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
    let (epoch, position, lag) = (slowest.epoch, slowest.position, lag(&checkpoints));
    let seen = Seen { epoch, position, stale, any_stale: stale, lag, generations };
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

/// The lag of the partition that is furthest behind.
fn lag(checkpoints: &[&Checkpoint]) -> Option<Duration> {
    let lags = checkpoints.iter().map(|checkpoint| checkpoint.lag);
    let longest = lags.reduce(|one, other| Some(one?.max(other?)))??;
    Duration::try_from_secs_f64(longest.max(0.0)).ok()
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
    fn an_answer_is_as_old_as_its_oldest_partition_and_of_no_known_age_if_one_is_not_known() {
        let at = |lag| Checkpoint {
            projection: "users".to_owned(),
            generation: 1,
            partition: 0,
            partitions: 1,
            epoch: None,
            position: 0,
            event_id: None,
            stale: false,
            lag,
        };
        for (lags, expected) in [
            (vec![Some(1.5), Some(2.25), Some(0.0)], Some(Duration::from_millis(2_250))),
            (vec![Some(1.0), None], None),
            (vec![None, Some(1.0)], None),
            // The clock of the log's database is ahead.
            (vec![Some(-0.2)], Some(Duration::ZERO)),
            (vec![], None),
        ] {
            let checkpoints: Vec<Checkpoint> = lags.into_iter().map(at).collect();
            assert_eq!(lag(&checkpoints.iter().collect::<Vec<_>>()), expected);
        }
    }

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
            lag: None,
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
