//! Retries parked events. Only the partition's owner does so, key by key, in the log's order,
//! between batches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use event_store::KeyError;
use event_store::{Position, RecordedEvent, StoreError};
use postgres_kit::Connection;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Reread, retry_in, skips};
use crate::chain;
use crate::projection::parking::Skips;
use crate::projection::past::StoredPast;
use crate::projection::{Only, Parking, Partitions, Reason, WriteError, apart};
use crate::runner::checkpoint::Checkpoint;
use crate::runner::erasing::{Erasing, Round, round};
use crate::runner::partition::{BATCH_LIMIT, Owned};
use crate::runner::{ACQUIRE_EVERY, MAX_BATCH, PartitionKey, checkpoint};

/// The most events of a key in one transaction.
const MAX_DRAIN: i64 = 1_000;
/// The most keys that are retried in one round.
const MAX_KEYS: i64 = 100;
/// How long a round may delay the next batch.
const ROUND: Duration = Duration::from_millis(250);

/// Why parked events could not be retried. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgainError {
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    #[error("the event store failed")]
    Store(#[from] StoreError),
    #[error("the keys of personal data cannot be read")]
    Keys(#[from] KeyError),
    /// The log has another event at the position of a parked one. Acquiring the partition again
    /// proves the history, and tells what to do.
    #[error("the log has another event at position {0}, where one is parked")]
    OtherEvent(Position),
    /// The event can be neither folded nor parked again.
    #[error("the parked event at position {0} can be neither folded nor parked again")]
    Refused(Position, #[source] Reason),
    #[error("another process has the partition")]
    Lost,
}

/// A parked event of one key.
struct Pair {
    position: i64,
    event_id: Uuid,
    tries: i32,
}

impl Owned {
    /// Whether a check for parked events that are due should be made now.
    pub(crate) fn has_parked_due(&self) -> bool {
        self.parked.is_due()
    }

    /// Postpones the next check.
    pub(crate) fn put_off_parked(&mut self, wait: Duration) {
        self.parked.look_at = Some(Instant::now() + wait);
    }

    /// Makes the next check due now.
    pub(crate) fn look_at_parked_now(&mut self) {
        self.parked.look_at = None;
    }

    /// Retries parked events that are due or requested, key by key.
    pub(crate) async fn retry_parked(&mut self, again: &Reread) -> Result<(), AgainError> {
        let started = Instant::now();
        self.parked.look_at = Some(started + ACQUIRE_EVERY);
        let keys = sqlx::query_scalar!(
            r#"SELECT key AS "key!" FROM (
                   SELECT key, requested_at AS due FROM read_model.retry_requests
                   WHERE projection = $1 AND generation = $2 AND read_model.partition_of(key, $4) =
                   $3
                   UNION ALL
                   SELECT key, retry_at FROM read_model.parked
                   WHERE projection = $1 AND generation = $2 AND partition = $3 AND retry_at <=
                   clock_timestamp()) AS due
               GROUP BY key ORDER BY min(due) LIMIT $5"#,
            self.key.projection.name(),
            self.key.generation,
            self.key.partition,
            self.key.of,
            MAX_KEYS
        )
        .fetch_all(&mut self.connection)
        .await?;
        for key in keys {
            let mut more = true;
            while more {
                if started.elapsed() > ROUND {
                    // The rest follows after the next batch.
                    self.parked.look_at = None;
                    return Ok(());
                }
                more = self.retry_key(again, &key).await?;
            }
        }
        Ok(())
    }

    /// Folds a key's parked events in the log's order, up to the first one that is refused again.
    /// Returns whether there are more that can be folded.
    async fn retry_key(&mut self, again: &Reread, key: &str) -> Result<bool, AgainError> {
        let of = (&*self.key, &self.checkpoint);
        let tried = try_key(&mut self.connection, of, (again, &mut self.erasing), key).await?;
        let Some(tried) = tried else { return Ok(true) };
        let goes_on = tried.goes_on();
        self.parked.skips = tried.skips;
        self.parked.pairs -= tried.events - tried.left;
        if !tried.more && tried.left == 0 {
            self.parked.held.remove(key);
            tracing::info!(
                projection = self.key.projection.name(),
                key,
                events = tried.events,
                "parked events took effect"
            );
        }
        Ok(goes_on)
    }
}

/// The result of retrying a key's parked events.
pub(crate) struct Tried {
    /// The skips that were applied.
    skips: Skips,
    /// The number of retried events.
    events: usize,
    /// The number of them that stay parked.
    left: usize,
    /// Whether the key has parked events now.
    more: bool,
}

impl Tried {
    /// Whether there are more events that may take effect now.
    pub(crate) const fn goes_on(&self) -> bool {
        self.more && self.left == 0
    }
}

/// Folds a key's parked events in the log's order, up to the first one that is refused again. The
/// transaction is fenced by the owner's term. Returns `None` if the past of an erased subject was
/// blanked instead, and this must be called again.
pub(crate) async fn try_key(
    connection: &mut Connection,
    (partition, at): (&PartitionKey, &Checkpoint),
    (again, erasing): (&Reread, &mut Erasing),
    key: &str,
) -> Result<Option<Tried>, AgainError> {
    let mut pairs = sqlx::query_as!(
        Pair,
        "SELECT position, event_id, tries FROM read_model.parked WHERE projection = $1 AND \
            generation = $2 AND key = $3
         ORDER BY position LIMIT $4",
        partition.projection.name(),
        partition.generation,
        key,
        MAX_DRAIN
    )
    .fetch_all(&mut *connection)
    .await?;
    let positions: Vec<i64> = pairs.iter().map(|pair| pair.position).collect();
    let events = again.events(&positions).await?;
    pairs.truncate(events.len());
    let same = |(event, pair): &(&RecordedEvent, &Pair)| event.id == pair.event_id;
    if events.is_empty() || !events.iter().zip(&pairs).all(|pair| same(&pair)) {
        let differs = events.iter().zip(&pairs).find(|pair| !same(pair));
        let position =
            differs.map(|(_, pair)| pair.position).or_else(|| positions.first().copied());
        return Err(AgainError::OtherEvent(Position(position.unwrap_or_default())));
    }
    let prepared = partition.projection.prepare(again.log.registry(), &events, Partitions::ALL);
    let (only, past) = (Only::Key(key.to_owned()), (&mut *erasing, MAX_BATCH));
    let past = match round(connection, (partition, at), (&prepared, &only), past).await? {
        Round::Done => StoredPast::Blanked,
        Round::More => return Ok(None),
        Round::Lost => return Err(AgainError::Lost),
        // The erasure meets the same refusal when it is folded, and stays parked with its cause.
        Round::Refused(..) => StoredPast::AsFolded,
    };
    let fold = async |raw: &mut PgConnection| {
        let mut transaction = raw.begin().await?;
        if !checkpoint::hold(&mut transaction, partition, at).await? {
            transaction.rollback().await?;
            return Err(AgainError::Lost);
        }
        // The skips are read under the lock, so that a new one is either seen here or waits.
        let skips = skips(&mut transaction, partition.projection.name()).await?;
        let (tried, left) =
            fold_again(&mut transaction, partition, again, &events, (key, &skips, past)).await?;
        let more = settle(&mut transaction, partition, key, &pairs[..tried], &left).await?;
        transaction.commit().await?;
        Ok(Tried { skips, events: tried, left: left.len(), more })
    };
    let tried = connection.run_within(BATCH_LIMIT, fold).await?;
    if tried.events > tried.left {
        erasing.forget(key);
    }
    Ok(Some(tried))
}

/// Folds the events into the row of one key. Returns the number of events that were tried, from the
/// first one on, and those of them that stay parked, each with the cause if it was refused.
async fn fold_again(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    again: &Reread,
    mut events: &[RecordedEvent],
    (key, skips, past): (&str, &Skips, StoredPast),
) -> Result<(usize, HashMap<i64, Option<String>>), AgainError> {
    loop {
        let mut attempt = connection.begin().await?;
        match fold_some(&mut attempt, partition, again, events, (key, skips, past)).await {
            Ok(left) => {
                attempt.commit().await?;
                return Ok((events.len(), left));
            }
            Err(WriteError::Database(error)) if apart::is_refusal(&error) => {
                attempt.rollback().await?;
                if let [event] = events {
                    return Ok((
                        1,
                        HashMap::from([(event.position.0, Some(apart::why(&error).to_string()))]),
                    ));
                }
                events = &events[..events.len() / 2];
            }
            Err(WriteError::Database(error)) => return Err(error.into()),
            // Retrying parks no additional events, so this one was neither folded nor parked.
            Err(WriteError::Fold(position, reason)) => {
                return Err(AgainError::Refused(position, reason));
            }
        }
    }
}

/// Folds these events. Returns those that stay parked, each with the cause if it was refused.
async fn fold_some(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    again: &Reread,
    mut events: &[RecordedEvent],
    (key, skips, past): (&str, &Skips, StoredPast),
) -> Result<HashMap<i64, Option<String>>, WriteError> {
    let mut left = HashMap::new();
    let prepared = partition.projection.prepare(again.log.registry(), events, Partitions::ALL);
    if let Some((position, reason)) = &prepared.unreadable {
        let readable = events.partition_point(|event| event.position < *position);
        left.extend(events[readable..].iter().map(|event| (event.position.0, None)));
        left.insert(position.0, Some(chain(reason.as_ref())));
        events = &events[..readable];
    }
    if !events.is_empty() {
        let mut parking = Parking::new(HashSet::new(), Arc::clone(skips), 0).careful().apart();
        prepared.write(connection, &Only::Key(key.to_owned()), &mut parking, past).await?;
        left.extend(parking.take_found().into_iter().map(|aside| (aside.position.0, aside.cause)));
    }
    Ok(left)
}

/// Records the result for a key's parked events. Returns whether the key has more parked events.
async fn settle(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    key: &str,
    pairs: &[Pair],
    left: &HashMap<i64, Option<String>>,
) -> sqlx::Result<bool> {
    let (name, generation) = (partition.projection.name(), partition.generation);
    let done: Vec<i64> = pairs
        .iter()
        .map(|pair| pair.position)
        .filter(|position| !left.contains_key(position))
        .collect();
    sqlx::query!(
        "DELETE FROM read_model.parked WHERE projection = $1 AND generation = $2 AND key = $3 AND \
            position = ANY($4)",
        name,
        generation,
        key,
        &done
    )
    .execute(&mut *connection)
    .await?;
    note_refusals(connection, partition, key, (pairs, left)).await?;
    let more = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM read_model.parked WHERE projection = $1 AND generation = $2
            AND key = $3) AS "more!""#,
        name,
        generation,
        key
    )
    .fetch_one(&mut *connection)
    .await?;
    // If nothing is refused, the rest should follow, even if this process ends here.
    let goes_on = more && left.is_empty();
    sqlx::query!(
        "WITH asked AS (DELETE FROM read_model.retry_requests WHERE projection = $1 AND \
            generation = $2 AND key = $3 AND NOT $4)
         INSERT INTO read_model.retry_requests (projection, generation, key) SELECT $1, $2, $3 \
         WHERE $4 ON CONFLICT DO NOTHING",
        name,
        generation,
        key,
        goes_on
    )
    .execute(&mut *connection)
    .await?;
    if !more {
        sqlx::query!(
            "DELETE FROM read_model.stale WHERE projection = $1 AND generation = $2 AND key = $3",
            name,
            generation,
            key
        )
        .execute(connection)
        .await?;
    }
    Ok(more)
}

/// Records which of a key's parked events were refused again, and when they are retried next.
async fn note_refusals(
    connection: &mut PgConnection,
    partition: &PartitionKey,
    key: &str,
    (pairs, left): (&[Pair], &HashMap<i64, Option<String>>),
) -> sqlx::Result<()> {
    let (name, generation) = (partition.projection.name(), partition.generation);
    let refused: Vec<_> =
        pairs.iter().filter_map(|pair| Some((pair, left.get(&pair.position)?.as_ref()?))).collect();
    sqlx::query!(
        "UPDATE read_model.parked AS p
         SET cause = r.cause, tries = p.tries + 1, retry_at = clock_timestamp() + \
         make_interval(secs => r.retry_in)
         FROM unnest($4::bigint[], $5::text[], $6::float8[]) AS r (position, cause, retry_in)
         WHERE p.projection = $1 AND p.generation = $2 AND p.key = $3 AND p.position = r.position",
        name,
        generation,
        key,
        &refused.iter().map(|(pair, _)| pair.position).collect::<Vec<_>>(),
        &refused.iter().map(|(_, cause)| (*cause).clone()).collect::<Vec<_>>(),
        &refused.iter().map(|(pair, _)| retry_in(pair.tries + 1)).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
