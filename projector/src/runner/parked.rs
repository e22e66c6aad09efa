//! The parked set of a generation in the hands of its owner: written in the transaction of the rows, tried again beside.
//!
//! Only the owner changes it, in transactions that are fenced by its term; so what the owner remembers of it is true for as long as
//! it can commit. People add skips and requests, under the checkpoint's lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use event_store::erasure::{KeyError, Vault};
use event_store::{EvolvedLog, Filter, Position, RecordedEvent, StoreError};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::part::Owned;
use super::{CLAIM_EVERY, PartKey, RunError, checkpoint};
use crate::projection::parking::{Aside, Skips};
use crate::projection::{MAX_PARKED, Only, Parking, WriteError};

/// How long a parked event waits before it is tried again: doubles from the first to the last, with jitter.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MOST: Duration = Duration::from_mins(10);
/// The most events of a key that one transaction takes in.
const MAX_DRAIN: i64 = 1_000;
/// The most keys that are tried in one go.
const MAX_KEYS: i64 = 100;
/// How long one go may hold up the batches that come.
const ROUND: Duration = Duration::from_millis(250);

/// What the owner knows of its parked set.
#[derive(Debug, Default)]
pub(crate) struct ParkedSet {
    held: HashSet<String>,
    skips: Skips,
    /// How many (event, key) pairs there are.
    pub(crate) pairs: usize,
    look_at: Option<Instant>,
}

impl ParkedSet {
    pub(crate) async fn load(connection: &mut PgConnection, part: &PartKey) -> sqlx::Result<Self> {
        let (name, generation) = (part.projection.name(), part.generation);
        let rows = sqlx::query!(
            r#"SELECT key, count(*) AS "pairs!" FROM read_model.parked WHERE projection = $1 AND generation = $2 GROUP BY key"#,
            name,
            generation
        )
        .fetch_all(&mut *connection)
        .await?;
        let pairs = rows.iter().map(|row| usize::try_from(row.pairs).unwrap_or(0)).sum();
        let held = rows.into_iter().map(|row| row.key).collect();
        Ok(Self { held, skips: skips(connection, name).await?, pairs, look_at: None })
    }

    /// For the next batch.
    pub(crate) fn parking(&self) -> Parking {
        Parking::new(self.held.clone(), Arc::clone(&self.skips), self.pairs)
    }

    /// These were parked.
    pub(crate) fn add(&mut self, found: &[Aside]) {
        self.pairs += found.len();
        self.held.extend(found.iter().map(|aside| aside.key.clone()));
    }

    fn is_due(&self) -> bool {
        !self.held.is_empty() && self.look_at.is_none_or(|at| at <= Instant::now())
    }
}

/// What people decided is never to count, for this projection.
pub(crate) async fn skips(connection: &mut PgConnection, projection: &str) -> sqlx::Result<Skips> {
    let rows = sqlx::query!("SELECT position, key FROM read_model.skips WHERE projection = $1", projection)
        .fetch_all(connection)
        .await?;
    Ok(Arc::new(rows.into_iter().map(|row| (Position(row.position), row.key)).collect()))
}

/// Whether there is no room for another event, and nobody has asked for any to be tried again.
pub(crate) async fn is_full(connection: &mut PgConnection, part: &PartKey) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM read_model.parked WHERE projection = $1 AND generation = $2) >= $3
               AND NOT EXISTS (SELECT FROM read_model.retry_requests WHERE projection = $1 AND generation = $2) AS "full!""#,
        part.projection.name(),
        part.generation,
        i64::try_from(MAX_PARKED).unwrap_or(i64::MAX)
    )
    .fetch_one(connection)
    .await
}

/// Parks what was set aside, and marks the rows. Call in the transaction of the rows. `events` holds those that it is about.
pub(crate) async fn record(
    connection: &mut PgConnection,
    part: &PartKey,
    found: &[Aside],
    events: &[RecordedEvent],
) -> sqlx::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let (name, generation) = (part.projection.name(), part.generation);
    let of = |position: Position| events.iter().find(|event| event.position == position);
    let named: Vec<_> = found.iter().filter_map(|aside| Some((aside, of(aside.position)?))).collect();
    let keys: Vec<String> = named.iter().map(|(aside, _)| aside.key.clone()).collect();
    let positions: Vec<i64> = named.iter().map(|(aside, _)| aside.position.0).collect();
    sqlx::query!(
        "INSERT INTO read_model.parked (projection, generation, part, key, position, event_id, event_type, cause, retry_at)
         SELECT $1, $2, $3, p.key, p.position, p.event_id, p.event_type, p.cause,
                clock_timestamp() + make_interval(secs => p.retry_in)
         FROM unnest($4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::float8[])
             AS p (key, position, event_id, event_type, cause, retry_in)",
        name,
        generation,
        part.part,
        &keys,
        &positions,
        &named.iter().map(|(_, event)| event.id).collect::<Vec<_>>(),
        &named.iter().map(|(_, event)| event.event_type.to_string()).collect::<Vec<_>>(),
        &named.iter().map(|(aside, _)| aside.cause.clone()).collect::<Vec<_>>() as &[Option<String>],
        &named.iter().map(|(aside, _)| aside.cause.as_ref().map(|_| retry_in(0))).collect::<Vec<_>>() as &[Option<f64>],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, since)
         SELECT $1, $2, s.key, $3, bool_or(s.absent), min(s.position)
         FROM unnest($4::text[], $5::bigint[], $6::boolean[]) AS s (key, position, absent) GROUP BY s.key
         ON CONFLICT (projection, generation, key) DO NOTHING",
        name,
        generation,
        part.projection.commutes(),
        &keys,
        &positions,
        &named.iter().map(|(aside, _)| aside.absent).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    for (aside, event) in named.iter().filter(|(aside, _)| aside.cause.is_some()) {
        tracing::error!(
            projection = name,
            position = aside.position.0,
            event_type = %event.event_type,
            key = aside.key,
            cause = aside.cause,
            "an event was parked: its row is stale until it can be folded or is skipped"
        );
    }
    Ok(())
}

/// The wait before an event that was tried so often again is tried once more, in seconds.
fn retry_in(tries: i32) -> f64 {
    let doublings = u32::try_from(tries).unwrap_or(0).min(16);
    RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MOST).mul_f64(rand::random_range(0.5..1.0)).as_secs_f64()
}

/// Where parked events are read again.
#[derive(Clone)]
pub(crate) struct Reread {
    pub(crate) log: EvolvedLog,
    pub(crate) vault: Option<Arc<Vault>>,
}

impl Reread {
    /// The events at these positions, as the projections read them.
    async fn events(&self, positions: &[i64]) -> Result<Vec<RecordedEvent>, RunError> {
        let mut events = Vec::with_capacity(positions.len());
        for position in positions {
            events.extend(self.log.store().read(&Filter::All, Position(position - 1), 1).await?);
        }
        if let Some(vault) = &self.vault {
            // What does not open stays sealed, and is refused again.
            vault.reveal(&mut events).await.map_err(|error: KeyError| error)?;
        }
        Ok(events)
    }
}

/// Why trying again ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgainError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("another process has the part")]
    Lost,
}

impl From<sqlx::Error> for AgainError {
    fn from(error: sqlx::Error) -> Self {
        Self::Run(error.into())
    }
}

impl From<StoreError> for AgainError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// A parked pair as it is read for another try.
struct Pair {
    position: i64,
    event_id: Uuid,
    tries: i32,
}

impl Owned {
    /// Whether parked events are to be looked at.
    pub(crate) fn has_parked_due(&self) -> bool {
        self.parked.is_due()
    }

    /// Makes the next look due now.
    pub(crate) fn look_at_parked_now(&mut self) {
        self.parked.look_at = None;
    }

    /// Tries parked events again whose time has come or that somebody asked for, key by key.
    pub(crate) async fn retry_parked(&mut self, again: &Reread) -> Result<(), AgainError> {
        let started = Instant::now();
        self.parked.look_at = Some(started + CLAIM_EVERY);
        let (name, generation) = (self.key.projection.name(), self.key.generation);
        let keys = sqlx::query_scalar!(
            r#"SELECT key AS "key!" FROM (
                   SELECT key, requested_at AS due FROM read_model.retry_requests WHERE projection = $1 AND generation = $2
                   UNION ALL
                   SELECT key, retry_at FROM read_model.parked
                   WHERE projection = $1 AND generation = $2 AND retry_at <= clock_timestamp()) AS due
               GROUP BY key ORDER BY min(due) LIMIT $3"#,
            name,
            generation,
            MAX_KEYS
        )
        .fetch_all(&mut self.connection)
        .await?;
        for key in keys {
            let mut more = true;
            while more {
                if started.elapsed() > ROUND {
                    // The rest comes after the next batch.
                    self.parked.look_at = None;
                    return Ok(());
                }
                more = self.retry_key(again, &key).await?;
            }
        }
        Ok(())
    }

    /// Folds a key's parked events in their order, up to the first that is refused again. `true`: there are more of them.
    async fn retry_key(&mut self, again: &Reread, key: &str) -> Result<bool, AgainError> {
        let pairs = sqlx::query_as!(
            Pair,
            "SELECT position, event_id, tries FROM read_model.parked WHERE projection = $1 AND generation = $2 AND key = $3
             ORDER BY position LIMIT $4",
            self.key.projection.name(),
            self.key.generation,
            key,
            MAX_DRAIN
        )
        .fetch_all(&mut self.connection)
        .await?;
        let positions: Vec<i64> = pairs.iter().map(|pair| pair.position).collect();
        let events = again.events(&positions).await?;
        let same = |(event, pair): (&RecordedEvent, &Pair)| event.id == pair.event_id;
        if events.len() != pairs.len() || !events.iter().zip(&pairs).all(same) {
            // Claiming anew proves the history, and says what is to be done when it is another one.
            let other = std::io::Error::other("the log has another event at the position of a parked one");
            return Err(sqlx::Error::Io(other).into());
        }
        let mut transaction = self.connection.begin().await?;
        if !checkpoint::hold(&mut transaction, &self.key, &self.checkpoint).await? {
            transaction.rollback().await?;
            return Err(AgainError::Lost);
        }
        // A decision made just now counts; the lock keeps it from coming in between.
        let skips = skips(&mut transaction, self.key.projection.name()).await?;
        let left = fold_again(&mut transaction, &self.key, again, &events, (key, &skips)).await?;
        let more = settle(&mut transaction, &self.key, key, &pairs, &left).await?;
        transaction.commit().await?;
        self.parked.skips = skips;
        self.parked.pairs -= pairs.len() - left.len();
        if !more && left.is_empty() {
            self.parked.held.remove(key);
            tracing::info!(projection = self.key.projection.name(), key, events = pairs.len(), "parked events took effect");
        }
        Ok(more && left.is_empty())
    }
}

/// Folds the events into the row of one key. Returns what stays parked, with the cause where it was refused.
async fn fold_again(
    connection: &mut PgConnection,
    part: &PartKey,
    again: &Reread,
    mut events: &[RecordedEvent],
    (key, skips): (&str, &Skips),
) -> Result<HashMap<i64, Option<String>>, AgainError> {
    let mut left = HashMap::new();
    let prepared = part.projection.prepare(again.log.registry(), events);
    if let Some((position, reason)) = &prepared.unreadable {
        let readable = events.partition_point(|event| event.position < *position);
        left.extend(events[readable..].iter().map(|event| (event.position.0, None)));
        left.insert(position.0, Some(super::chain(reason.as_ref())));
        events = &events[..readable];
    }
    if events.is_empty() {
        return Ok(left);
    }
    let mut parking = Parking::new(HashSet::new(), Arc::clone(skips), 0).careful();
    match prepared.write(connection, &Only::Key(key.to_owned()), &mut parking).await {
        Ok(()) => left.extend(parking.take_found().into_iter().map(|aside| (aside.position.0, aside.cause))),
        Err(WriteError::Database(error)) => return Err(error.into()),
        // No more are parked than were.
        Err(WriteError::Fold(position, reason)) => {
            let error = std::io::Error::other(format!("event {position}: {}", super::chain(reason.as_ref())));
            return Err(sqlx::Error::Io(error).into());
        }
    }
    Ok(left)
}

/// Writes down what became of a key's parked events. `true`: it has more than were tried.
async fn settle(
    connection: &mut PgConnection,
    part: &PartKey,
    key: &str,
    pairs: &[Pair],
    left: &HashMap<i64, Option<String>>,
) -> sqlx::Result<bool> {
    let (name, generation) = (part.projection.name(), part.generation);
    let done: Vec<i64> = pairs.iter().map(|pair| pair.position).filter(|position| !left.contains_key(position)).collect();
    let refused: Vec<_> = pairs.iter().filter_map(|pair| Some((pair, left.get(&pair.position)?.as_ref()?))).collect();
    sqlx::query!(
        "DELETE FROM read_model.parked WHERE projection = $1 AND generation = $2 AND key = $3 AND position = ANY($4)",
        name,
        generation,
        key,
        &done
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE read_model.parked AS p
         SET cause = r.cause, tries = p.tries + 1, retry_at = clock_timestamp() + make_interval(secs => r.retry_in)
         FROM unnest($4::bigint[], $5::text[], $6::float8[]) AS r (position, cause, retry_in)
         WHERE p.projection = $1 AND p.generation = $2 AND p.key = $3 AND p.position = r.position",
        name,
        generation,
        key,
        &refused.iter().map(|(pair, _)| pair.position).collect::<Vec<_>>(),
        &refused.iter().map(|(_, cause)| (*cause).clone()).collect::<Vec<_>>(),
        &refused.iter().map(|(pair, _)| retry_in(pair.tries + 1)).collect::<Vec<_>>(),
    )
    .execute(&mut *connection)
    .await?;
    let more = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM read_model.parked WHERE projection = $1 AND generation = $2 AND key = $3) AS "more!""#,
        name,
        generation,
        key
    )
    .fetch_one(&mut *connection)
    .await?;
    // As long as nothing is refused, the rest is to follow, also when this process ends here.
    let goes_on = more && left.is_empty();
    sqlx::query!(
        "WITH asked AS (DELETE FROM read_model.retry_requests WHERE projection = $1 AND generation = $2 AND key = $3 AND NOT $4)
         INSERT INTO read_model.retry_requests (projection, generation, key) SELECT $1, $2, $3 WHERE $4 ON CONFLICT DO NOTHING",
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
