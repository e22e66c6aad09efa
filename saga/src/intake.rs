//! Follows the log into the work tables: the handler of a durable consumer
//! ([`event_feed::consumer`]), which commits the fold of a batch together with its checkpoint.
//!
//! The first instances of a batch are taken for this process's driver in the same transaction and
//! handed over in memory, as many as it has room for. The others wait for any driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_feed::Term;
use event_feed::consumer::{
    Advance, BoxError, Checkpoint, Checkpoints, Committed, HandleError, Handler,
};
use event_store::{Epoch, EventRef, Position, RecordedEvent};
use postgres_kit::Connection;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::sagas::{Begun, Sagas};
use crate::work::fold::Fold;

pub(crate) mod deployment;

/// The name of the checkpoint, and of the consumer's lease.
pub(crate) const NAME: &str = "sagas";
/// How long connecting may take, and how long a transaction.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// How the intake reaches the driver of its process.
#[derive(Debug, Clone)]
pub(crate) struct Handover {
    /// The id of this process's driver.
    pub(crate) driver: Uuid,
    /// Takes instances that are to begin. Its capacity is the room of the driver.
    pub(crate) taken: mpsc::Sender<(Uuid, Begun)>,
    /// Wakes the driver, because there is other work.
    pub(crate) wake: Arc<Notify>,
}

/// Folds batches of the log into the work tables, with the consumer's checkpoint.
pub(crate) struct Intake {
    connect: PgConnectOptions,
    connection: Option<Connection>,
    sagas: Sagas,
    begins: BTreeMap<&'static str, Position>,
    /// Where the fold begins if there is no checkpoint.
    first: Checkpoint,
    handover: Handover,
}

impl Intake {
    pub(crate) fn new(
        connect: &PgConnectOptions,
        sagas: Sagas,
        deployed: deployment::Deployments,
        handover: Handover,
    ) -> Self {
        let connect = crate::work::options(connect, "sagas intake");
        let deployment::Deployments { begins, first } = deployed;
        Self { connect, connection: None, sagas, begins, first, handover }
    }

    /// Takes the connection out, so that one that failed is not used again.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        match self.connection.take().filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await,
        }
    }

    async fn commit(&mut self, fold: &Fold, advance: &Advance) -> sqlx::Result<Committed> {
        // The places are reserved first, so that every instance that is taken can be handed over.
        let places = fold.begins().min(self.handover.taken.capacity());
        let (taken, driver) = (self.handover.taken.clone(), self.handover.driver);
        let places = taken.try_reserve_many(places).ok();
        let count = places.as_ref().map_or(0, ExactSizeIterator::len);
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            if !move_checkpoint(&mut transaction, advance).await? {
                transaction.rollback().await?;
                return Ok((Committed::Fenced, Vec::new()));
            }
            let begun = fold.write(&mut transaction, (driver, count)).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>((Committed::Done, begun))
        };
        let mut connection = self.connection().await?;
        let done = connection.run(work).await?;
        self.connection = Some(connection);
        let (committed, begun) = done;
        for (place, begun) in places.into_iter().flatten().zip(begun) {
            place.send(begun);
        }
        Ok(committed)
    }
}

async fn move_checkpoint(raw: &mut PgConnection, advance: &Advance) -> sqlx::Result<bool> {
    let Advance { from, to, term } = *advance;
    let moved = sqlx::query_file!(
        "sql/advance.sql",
        NAME,
        term.0,
        from.at.position.0,
        from.at.event_id as Option<Uuid>,
        to.epoch.map(|epoch| epoch.0) as Option<Uuid>,
        to.at.position.0,
        to.at.event_id as Option<Uuid>,
    )
    .execute(raw)
    .await?;
    Ok(moved.rows_affected() == 1)
}

impl Checkpoints for Intake {
    async fn take(&mut self, term: Term) -> Result<Option<Checkpoint>, BoxError> {
        let mut connection = self.connection().await?;
        let first = self.first;
        let row = sqlx::query_file!(
            "sql/take.sql",
            NAME,
            term.0,
            first.epoch.map(|epoch| epoch.0) as Option<Uuid>,
            first.at.position.0,
            first.at.event_id as Option<Uuid>,
        )
        .fetch_optional(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(row.map(|row| Checkpoint {
            epoch: row.epoch.map(Epoch),
            at: EventRef { position: Position(row.position), event_id: row.event_id },
        }))
    }
}

impl Handler for Intake {
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> Result<Committed, HandleError> {
        let fold = Fold::of(events, &self.sagas, &self.begins);
        let committed =
            self.commit(&fold, advance).await.map_err(|error| HandleError::Retry(error.into()))?;
        if fold.wakes() {
            self.handover.wake.notify_one();
        }
        Ok(committed)
    }
}
