//! Follows the log into the work tables: the handler of a durable consumer
//! ([`event_feed::consumer`]), which commits the fold of a batch together with its checkpoint.
//!
//! The first instances of a batch are taken for this process's driver in the same transaction and
//! handed over in memory, as many as it has room for. The others wait for any driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_feed::consumer::{Advance, Checkpoint, Committed, HandleError, Handler};
use event_store::{EventStore, Position, RecordedEvent};
use postgres_kit::Connection;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::probe::{Point, Probe, When};
use crate::sagas::Sagas;
use crate::work::fold::Fold;

pub(crate) mod deployment;
mod handover;
mod resume;
mod take;

pub(crate) use handover::{Handed, Handover, handover};

pub(crate) use crate::work::fold::NAME;

/// How long connecting may take, and how long a transaction.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// Folds batches of the log into the work tables, with the consumer's checkpoint.
pub(crate) struct Intake {
    connect: PgConnectOptions,
    connection: Option<Connection>,
    sagas: Sagas,
    begins: BTreeMap<&'static str, Position>,
    /// Where the fold begins if there is no checkpoint.
    first: Checkpoint,
    handover: Handover,
    log: Arc<dyn EventStore>,
    probe: Option<Arc<dyn Probe>>,
}

impl Intake {
    pub(crate) fn new(
        (log, connect): (Arc<dyn EventStore>, &PgConnectOptions),
        sagas: Sagas,
        deployed: deployment::Deployments,
        handover: Handover,
        probe: Option<Arc<dyn Probe>>,
    ) -> Self {
        let connect = crate::work::options(connect, "sagas intake");
        let deployment::Deployments { begins, first } = deployed;
        Self { connect, connection: None, sagas, begins, first, handover, log, probe }
    }

    /// Takes the connection out, so that one that failed is not used again.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        match self.connection.take().filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await,
        }
    }

    fn pass(&self, when: When) {
        if let Some(probe) = &self.probe {
            probe.pass(when, Point::Checkpoint);
        }
    }

    async fn commit(&mut self, fold: &Fold, advance: &Advance) -> sqlx::Result<Committed> {
        // The places are reserved first, so that every instance that is taken can be handed over.
        let handover = self.handover.clone();
        let places = handover.reserve(fold.begins());
        let count = places.as_ref().map_or(0, ExactSizeIterator::len);
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            if !move_checkpoint(&mut transaction, advance).await? {
                transaction.rollback().await?;
                return Ok((Committed::Fenced, Vec::new()));
            }
            let begun = fold.write(&mut transaction, (handover.driver, count)).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>((Committed::Done, begun))
        };
        let mut connection = self.connection().await?;
        let done = connection.run(work).await?;
        self.connection = Some(connection);
        let (committed, begun) = done;
        handover.fill(places, begun);
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

impl Handler for Intake {
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> Result<Committed, HandleError> {
        let fold = Fold::of(events, &self.sagas, &self.begins);
        self.pass(When::Before);
        let committed =
            self.commit(&fold, advance).await.map_err(|error| HandleError::Retry(error.into()))?;
        self.pass(When::After);
        if fold.wakes() {
            self.handover.wake();
        }
        Ok(committed)
    }
}
