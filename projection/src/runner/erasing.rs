//! Blanks the past of erased subjects ahead of the batch that erases them.
//!
//! A subject may have more past rows than one transaction can blank in time. So they are blanked in
//! pieces before the batch, each in a transaction of its own that is fenced by the owner's term.
//! The batch then has nothing left to blank but what it adds itself. It is allowed so early: the
//! subject's key was destroyed before the erasure was appended, and blanking again changes nothing.
//!
//! Pieces come in rounds. Between two rounds the runner renews its leases and works for its other
//! partitions. These go ahead (`turns.rs`): the partition keeps the batch that it has, which bounds
//! its memory, and reads no other one. A process that takes the partition over begins again.

use std::collections::HashMap;
use std::time::Duration;

use event_store::Position;
use postgres_kit::Connection;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::PartitionKey;
use super::checkpoint::{self, Checkpoint};
use super::partition::BATCH_LIMIT;
use crate::projection::apart::{self, Refused};
use crate::projection::past::{MAX_STATEMENT_ROWS, PastErasure, Piece};
use crate::projection::{MAX_ROW_BYTES, Only, Prepared};

/// How long a round begins pieces. The other partitions wait for it.
const ROUND: Duration = Duration::from_millis(250);
/// The least time between two lines of the log about it.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a piece should take. The size of the next one follows from it.
const PIECE: Duration = Duration::from_millis(250);
/// The number of rows of the first piece, which most subjects do not have.
const FIRST_ROWS: usize = 64;
/// The maximum factor by which pieces grow.
const GROWTH: usize = 8;

/// How far the past of erased subjects is blanked.
#[derive(Debug)]
pub(crate) struct Erasing {
    /// By key and subject.
    blanked: HashMap<(String, Uuid), Blanked>,
    /// The number of rows of the next piece.
    rows: usize,
    /// When the log last mentioned it.
    told_at: Option<Instant>,
}

/// How far the past of one row is blanked.
#[derive(Debug, Clone, Copy)]
struct Blanked {
    /// The last blanked position. Rows that were added since come after it, except those of
    /// retried events.
    to: Position,
    /// The checkpoint at which no row was left, if that is known.
    whole_at: Option<Position>,
}

impl Default for Erasing {
    fn default() -> Self {
        Self { blanked: HashMap::new(), rows: FIRST_ROWS, told_at: None }
    }
}

impl Erasing {
    /// Forgets these erasures, because they took effect.
    pub(crate) fn took_effect(&mut self, erasures: &[PastErasure]) {
        for erasure in erasures {
            self.blanked.remove(&name(erasure));
        }
    }

    /// Forgets a key, because events of any position were added to its past.
    pub(crate) fn forget(&mut self, key: &str) {
        self.blanked.retain(|(of, _), _| of != key);
    }

    fn tell(&mut self, projection: &str, position: Position) {
        if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.told_at = Some(Instant::now());
            let position = position.0;
            tracing::info!(projection, position, "still blanking the past of an erased subject");
        }
    }

    /// The position after which the next piece begins; `None` if nothing is left.
    fn next(&self, erasure: &PastErasure, checkpoint: Position) -> Option<Position> {
        match self.blanked.get(&name(erasure)) {
            None => Some(Position::START),
            Some(blanked) if blanked.whole_at == Some(checkpoint) => None,
            Some(blanked) => Some(blanked.to),
        }
    }

    /// Records a piece of at most `limit` rows that took so long.
    fn blanked(
        &mut self,
        (erasure, checkpoint): (&PastErasure, Position),
        (piece, limit): (Piece, usize),
        took: Duration,
    ) {
        let whole_at = (piece.rows < limit).then_some(checkpoint);
        self.blanked.insert(name(erasure), Blanked { to: piece.last, whole_at });
        self.rows = next_size(piece, limit, took);
    }
}

fn name(erasure: &PastErasure) -> (String, Uuid) {
    (erasure.key.clone(), erasure.subject)
}

/// The number of rows of the piece after one of at most `limit` rows.
fn next_size(piece: Piece, limit: usize, took: Duration) -> usize {
    if piece.rows == 0 {
        return limit;
    }
    let in_time = piece.rows as u128 * PIECE.as_micros() / took.as_micros().max(1);
    let in_time = usize::try_from(in_time).unwrap_or(usize::MAX);
    let in_memory = MAX_ROW_BYTES / piece.largest.max(1);
    let most = limit.saturating_mul(GROWTH).min(MAX_STATEMENT_ROWS);
    in_time.min(in_memory).clamp(1, most)
}

/// How far a round came.
pub(crate) enum Round {
    /// Everything is blanked.
    Done,
    /// Another round must follow before the batch.
    More,
    /// Another process has the partition.
    Lost,
    /// A past row of the erasure at this position cannot be blanked.
    Refused(Position, Refused),
}

/// Blanks the stored past of the rows among these keys from which the batch erases a subject, in
/// pieces of at most `most` rows.
///
/// # Errors
/// Postgres's error. What was blanked stays so.
pub(crate) async fn round(
    connection: &mut Connection,
    (partition, at): (&PartitionKey, &Checkpoint),
    (prepared, only): (&Prepared, &Only),
    (erasing, most): (&mut Erasing, usize),
) -> sqlx::Result<Round> {
    let (began, checkpoint) = (Instant::now(), at.mark.position);
    for erasure in prepared.past_erasures(only) {
        while let Some(after) = erasing.next(&erasure, checkpoint) {
            if began.elapsed() > ROUND {
                erasing.tell(partition.projection.name(), erasure.position);
                return Ok(Round::More);
            }
            let limit = erasing.rows.min(most.max(1));
            let started = Instant::now();
            let blank = async |raw: &mut PgConnection| {
                let mut transaction = raw.begin().await?;
                if !checkpoint::hold(&mut transaction, partition, at).await? {
                    transaction.rollback().await?;
                    return Ok::<_, sqlx::Error>(None);
                }
                let piece = prepared.blank_past(&mut transaction, &erasure, (after, limit)).await?;
                transaction.commit().await?;
                Ok(Some(piece))
            };
            match connection.run_within(BATCH_LIMIT, blank).await {
                Ok(Some(piece)) => {
                    let took = started.elapsed();
                    erasing.blanked((&erasure, checkpoint), (piece, limit), took);
                }
                Ok(None) => return Ok(Round::Lost),
                Err(error) if apart::is_refusal(&error) => {
                    return Ok(Round::Refused(erasure.position, apart::why(&error)));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Round::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(rows: usize, largest: usize, took: Duration) -> usize {
        next_size(Piece { rows, last: Position(9), largest }, 100, took)
    }

    #[test]
    fn pieces_grow_and_shrink_so_that_each_takes_its_time_and_fits_into_memory() {
        assert_eq!(next(100, 1_000, PIECE), 100);
        assert_eq!(next(100, 1_000, PIECE * 4), 25);
        assert_eq!(next(100, 1_000, PIECE / 2), 200);
        assert_eq!(next(100, 1_000, Duration::ZERO), MAX_STATEMENT_ROWS);
        assert_eq!(next(100, MAX_ROW_BYTES / 10, Duration::ZERO), 10);
        assert_eq!(next(100, 2 * MAX_ROW_BYTES, PIECE * 1_000), 1, "at least a row");
        assert_eq!(next_size(Piece { rows: 4, last: Position(9), largest: 9 }, 4, PIECE / 50), 32);
        assert_eq!(next(0, 0, PIECE), 100, "nothing was measured");
    }
}
