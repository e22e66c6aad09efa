//! Acquires a partition: takes the lease, loads the checkpoint, and proves that the log is the one
//! from which the rows were folded.

use std::sync::Arc;
use std::time::Duration;

use event_store::EventStore;
use postgres_kit::Connection;
use postgres_kit::Term;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::checkpoint::{self, Seen};
use super::erasing::Erasing;
use super::history::{self, History};
use super::parked::{self, ParkedSet};
use super::partition::Owned;
use super::{PartitionKey, database, discover, lease};
use crate::projection::AnyProjection;
use crate::{generation, pause};

/// The number of the live generation of a projection that has none.
const NO_GENERATION: i32 = 0;
/// How long acquiring a partition may take, including the queries to the log.
pub(super) const ACQUIRE_LIMIT: Duration = Duration::from_secs(10);

/// An attempt to take a partition.
pub(crate) struct Acquisition {
    pub(crate) options: Arc<PgConnectOptions>,
    pub(crate) owner: Uuid,
    pub(crate) projection: Arc<dyn AnyProjection>,
    /// The standby generation; `None` for the current live one.
    pub(crate) standby: Option<i32>,
    /// The number of the partition.
    pub(crate) partition: i32,
    /// The log that proves the history. Without it, the caller vouches for the history.
    pub(crate) store: Option<Arc<dyn EventStore>>,
    /// The connection of an earlier attempt.
    pub(crate) connection: Option<Connection>,
    /// The reason, if the partition is stopped.
    pub(crate) stopped: Option<Stopped>,
}

/// Why a partition is stopped. It is tried again once the reason is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) reason: String,
    /// The live generation that stopped: only another one is tried. `None` after a panic: then no
    /// generation is tried.
    pub(crate) generation: Option<i32>,
    /// When the same generation is tried again.
    pub(crate) again: Again,
}

/// When a stopped partition is tried again with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Only when the process restarts.
    No,
    /// When the log's history has changed, which was the reason.
    History,
    /// When more events can be parked, or somebody has requested a retry. The reason was that no
    /// more could be parked.
    Room,
}

/// The result of an attempt.
pub(crate) enum Acquired {
    Owned(Box<Owned>),
    /// Another process has it.
    Elsewhere(Connection),
    /// It must stop, for this reason.
    Stopped(Stopped),
    /// Nothing has changed since it stopped.
    StillStopped,
}

/// Why a partition could not be acquired now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcquireError {
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    #[error("the event store failed")]
    Store(#[from] event_store::StoreError),
}

impl Acquisition {
    /// Takes the partition if nobody has it, and proves that the log is the one from which it was
    /// built.
    pub(crate) async fn attempt(self) -> Result<Acquired, AcquireError> {
        // On the heap, because futures that hold connections are large.
        postgres_kit::within(ACQUIRE_LIMIT, Box::pin(self.acquire())).await
    }

    async fn acquire(self) -> Result<Acquired, AcquireError> {
        let mut connection = match self.connection {
            Some(connection) if connection.is_open() => connection,
            _ => database::connect(&self.options, self.owner).await?,
        };
        let (name, standby) = (self.projection.name(), self.standby);
        let find = async |raw: &mut PgConnection| match standby {
            Some(generation) => discover::find(raw, name, generation).await,
            None => generation::live(raw, name).await,
        };
        let found = connection.run(find).await?;
        let generation = found.as_ref().map_or(NO_GENERATION, |found| found.generation);
        let before = self.stopped.filter(|stopped| stopped.generation == Some(generation));
        if before.as_ref().is_some_and(|stopped| stopped.again == Again::No) {
            return Ok(Acquired::StillStopped);
        }
        if !found.as_ref().is_some_and(|found| found.is_made_by(self.projection.as_ref())) {
            let reason = generation::not_ours(self.projection.as_ref(), found.as_ref());
            return Ok(Acquired::Stopped(Stopped {
                reason,
                generation: Some(generation),
                again: Again::No,
            }));
        }
        let Some(found) = found.filter(|found| self.partition < found.partitions) else {
            return Ok(Acquired::Elsewhere(connection));
        };
        let key = Arc::new(PartitionKey::new(self.projection, &found, self.partition));
        if let Some(before) = before
            && still_stopped(&mut connection, &key, before, self.store.as_ref()).await?
        {
            return Ok(Acquired::StillStopped);
        }
        let lease = lease::of(&key, self.owner);
        let Some(Term(term)) =
            connection.run(async |raw: &mut PgConnection| lease.take(raw).await).await?
        else {
            return Ok(Acquired::Elsewhere(connection));
        };
        // This comes after taking the lease, because a pause first writes its row and then checks
        // the leases.
        if pause::is_paused(&mut connection, name).await? {
            let give_up = async |raw: &mut PgConnection| lease.give_up(raw, Term(term)).await;
            connection.run(give_up).await?;
            return Ok(Acquired::Elsewhere(connection));
        }
        let taken = connection
            .run(async |raw: &mut PgConnection| checkpoint::take(raw, &key, term).await)
            .await?;
        let Some(checkpoint) = taken else { return Ok(Acquired::Elsewhere(connection)) };
        let seen = Seen { mode: "starting", head: checkpoint.mark.position };
        let load =
            async |raw: &mut PgConnection| ParkedSet::load(raw, &key, &[key.partition]).await;
        let parked = connection.run(load).await?;
        let (owner, erasing, unfinished) = (self.owner, Erasing::default(), None);
        let owned = Owned { key, checkpoint, seen, parked, erasing, unfinished, owner, connection };
        let owned = Box::new(owned);
        let Some(store) = self.store else { return Ok(Acquired::Owned(owned)) };
        prove(owned, store.as_ref()).await
    }
}

/// Whether the reason that stopped the partition still holds.
async fn still_stopped(
    connection: &mut Connection,
    key: &PartitionKey,
    before: Stopped,
    store: Option<&Arc<dyn EventStore>>,
) -> Result<bool, AcquireError> {
    match (before.again, store) {
        (Again::No, _) => Ok(true),
        (Again::Room, _) => Ok(connection
            .run(async |raw: &mut PgConnection| parked::is_full(raw, key).await)
            .await?),
        (Again::History, Some(store)) => {
            let look = async |raw: &mut PgConnection| checkpoint::look(raw, key).await;
            let Some(found) = connection.run(look).await? else { return Ok(false) };
            let history = history::of(store.as_ref(), key.projection.name(), found).await?;
            Ok(history == History::Other(before.reason))
        }
        (Again::History, None) => Ok(false),
    }
}

/// Proves that the log is the one from which the partition was built.
async fn prove(mut owned: Box<Owned>, store: &dyn EventStore) -> Result<Acquired, AcquireError> {
    let at = (owned.checkpoint.epoch, owned.checkpoint.mark);
    match history::of(store, owned.key.projection.name(), at).await? {
        History::Same(epoch) if owned.follow(epoch).await? => Ok(Acquired::Owned(owned)),
        History::Same(_) => Ok(Acquired::Elsewhere(owned.connection)),
        History::Other(reason) => {
            let generation = Some(owned.key.generation);
            owned.give_up(Some(&reason)).await?;
            Ok(Acquired::Stopped(Stopped { reason, generation, again: Again::History }))
        }
    }
}
