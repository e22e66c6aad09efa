//! Takes operations that nobody works on, one long one at a time, and has them attended to.

use std::sync::Arc;
use std::time::Duration;

use event_store::encryption::Vault;
use event_store::{EventStore, PostgresOptions, PostgresStore, Registry, StoreError, UpcastingLog};
use postgres_kit::Connection;
use service_kit::Pulse;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::attempt::{self, Attempt, Order};
use super::attend::attend;
use super::run::Job;
use crate::generation::{self, SchemaError};
use crate::ops::Operations;
use crate::projection::AnyProjection;
use crate::runner::database;

/// How often it is looked for operations when nobody says that there is one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most operations that a process works on at once.
const MAX_AT_ONCE: usize = 8;
/// An executor that does not move for so long hangs: the calls of one look have limits that add up
/// to less.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(2);

/// How operations reach both databases, and the keys.
#[derive(Clone)]
pub struct Reach {
    /// Where the read model is.
    pub options: PgConnectOptions,
    /// Where the log is. Each operation that reads it has connections of its own.
    pub store: PostgresOptions,
    /// What events are read through.
    pub registry: Arc<Registry>,
    /// Opens personal values.
    pub vault: Option<Arc<Vault>>,
}

/// Why the databases could not be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The read model cannot be had, or is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reach {
    /// What an operation that replays the log works on.
    pub(super) async fn open(&self) -> Result<Operations, OpenError> {
        let reads = u32::try_from(Operations::READ_CONNECTIONS).unwrap_or(u32::MAX);
        let store = PostgresStore::connect(self.store.clone().read_connections(reads)).await?;
        let store: Arc<dyn EventStore> = Arc::new(store);
        let log = UpcastingLog::new(store, Arc::clone(&self.registry));
        Ok(Operations::new(self.options.clone(), log, self.vault.clone()).await?)
    }
}

/// Works on operations while the process runs.
pub struct Executor {
    reach: Arc<Reach>,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    pulse: Pulse,
}

/// An operation that this process attends to.
struct Running {
    projection: String,
    is_long: bool,
    task: AbortOnDropHandle<()>,
}

impl Executor {
    /// Works on the operations of these projections. `wake` tells it that there is one; `pulse`
    /// beats while it looks.
    pub fn new(
        reach: Reach,
        projections: Vec<Arc<dyn AnyProjection>>,
        wake: Arc<Notify>,
        pulse: Pulse,
    ) -> Self {
        Self { reach: Arc::new(reach), projections, wake, pulse }
    }

    /// Works until `drain`, then lets a rebuild write what it has, and leaves the rest to others.
    pub async fn run(self, drain: CancellationToken) {
        let (mut connection, mut running) = (None, Vec::new());
        while !drain.is_cancelled() {
            self.pulse.beat();
            if let Err(error) = self.look(&mut connection, &mut running, &drain).await {
                // The runner meets the same error and reports it.
                tracing::debug!(%error, "cannot look for operations");
                connection = None;
            }
            tokio::select! {
                () = drain.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.pulse.rest();
        for Running { task, projection, .. } in running {
            if let Err(panic) = task.await {
                tracing::error!(projection, %panic, "attending to an operation panicked");
            }
        }
    }

    /// Takes what nobody works on.
    async fn look(
        &self,
        connection: &mut Option<Connection>,
        running: &mut Vec<Running>,
        drain: &CancellationToken,
    ) -> sqlx::Result<()> {
        running.retain(|running| !running.task.is_finished());
        let options = &self.reach.options;
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(database::connect(options, Uuid::now_v7()).await?),
        };
        let folds: Vec<String> =
            self.projections.iter().map(|known| generation::fold_of(known.as_ref())).collect();
        for free in attempt::free(connection, &folds).await? {
            let is_long = free.is_long();
            let is_busy = running.len() >= MAX_AT_ONCE
                || running.iter().any(|one| one.projection == free.projection)
                || (is_long && running.iter().any(|one| one.is_long));
            if is_busy {
                continue;
            }
            let Some(attempt) = Attempt::begin(options, &free).await? else { continue };
            let job = self.job(&attempt);
            let attended = attend(attempt, job, Arc::clone(&self.reach), drain.clone());
            let wake = Arc::clone(&self.wake);
            let task = AbortOnDropHandle::new(tokio::spawn(async move {
                attended.await;
                // The next one may be waiting for its turn.
                wake.notify_one();
            }));
            running.push(Running { projection: free.projection, is_long, task });
        }
        Ok(())
    }

    /// What an attempt is to do; else why it cannot be done.
    fn job(&self, attempt: &Attempt) -> Result<Job, String> {
        let name = &attempt.projection;
        let task = match &attempt.order {
            Order::Task(task) => task.clone(),
            Order::Unknown(why) => return Err(why.clone()),
        };
        let projection = self.projections.iter().find(|known| known.name() == name);
        Ok(Job {
            id: attempt.id,
            task,
            projection: Arc::clone(projection.ok_or_else(|| format!("there is no {name}"))?),
            by: attempt.by.clone(),
            reason: attempt.reason.clone(),
            again: attempt.number > 1,
        })
    }
}
