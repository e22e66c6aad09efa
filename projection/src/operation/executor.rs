//! Takes operations that no process works on, and starts an attempt at each. Only one of them at a
//! time may be long.

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

/// How often to look for operations without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum number of operations that a process works on at once.
const MAX_AT_ONCE: u32 = 8;
/// The maximum number of connections of the executor and of its operations: one to look for work,
/// two of each operation, and three more of the one that may be long. The connections of that one's
/// [log](Reach::most_connections) come on top.
const MAX_CONNECTIONS: u32 = 1 + 2 * MAX_AT_ONCE + 3;
/// How long the executor may be silent before it counts as hung. The time limits of one round add
/// up to less.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(2);

/// How operations connect to both databases and the keys.
#[derive(Clone)]
pub struct Reach {
    /// How to connect to the read model.
    pub options: PgConnectOptions,
    /// How to connect to the log. Each operation that reads it opens connections of its own.
    pub store: PostgresOptions,
    /// The event types and upcasters.
    pub registry: Arc<Registry>,
    /// Decrypts personal values; without it they stay hidden.
    pub vault: Option<Arc<Vault>>,
}

/// Why the databases could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The read model is away, or its schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The log is away or cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reach {
    /// The maximum number of connections of all operations that a process works on.
    pub fn most_connections(&self) -> u32 {
        MAX_CONNECTIONS + self.replaying().most_connections()
    }

    /// How an operation that replays the log connects to it.
    fn replaying(&self) -> PostgresOptions {
        let reads = u32::try_from(Operations::READ_CONNECTIONS).unwrap_or(u32::MAX);
        self.store.clone().read_connections(reads)
    }

    /// Opens the databases for an operation that replays the log.
    pub(super) async fn open(&self) -> Result<Operations, OpenError> {
        let store = PostgresStore::connect(self.replaying()).await?;
        let store: Arc<dyn EventStore> = Arc::new(store);
        let log = UpcastingLog::new(store, Arc::clone(&self.registry));
        Ok(Operations::new(self.options.clone(), log, self.vault.clone()).await?)
    }
}

/// Carries out operations while the process runs.
pub struct Executor {
    reach: Arc<Reach>,
    projections: Vec<Arc<dyn AnyProjection>>,
    wake: Arc<Notify>,
    pulse: Pulse,
}

/// An operation that this process works on.
struct Running {
    projection: String,
    is_long: bool,
    task: AbortOnDropHandle<()>,
}

impl Executor {
    /// Creates the executor for these projections. `wake` tells it that an operation is queued;
    /// `pulse` beats each time it looks for operations.
    pub fn new(
        reach: Reach,
        projections: Vec<Arc<dyn AnyProjection>>,
        wake: Arc<Notify>,
        pulse: Pulse,
    ) -> Self {
        Self { reach: Arc::new(reach), projections, wake, pulse }
    }

    /// Runs until `drain`. Then a rebuild saves its work, and other processes continue.
    pub async fn run(self, drain: CancellationToken) {
        let (mut connection, mut running) = (None, Vec::new());
        while !drain.is_cancelled() {
            self.pulse.beat();
            if let Err(error) = self.look(&mut connection, &mut running, &drain).await {
                // The runner meets the same error and reports it.
                tracing::debug!(%error, "could not look for operations");
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
                tracing::error!(projection, %panic, "the supervisor of an operation panicked");
            }
        }
    }

    /// Takes operations that no process works on.
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
            let is_busy = running.len() >= MAX_AT_ONCE as usize
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
                // Another operation may be waiting for this one to end.
                wake.notify_one();
            }));
            running.push(Running { projection: free.projection, is_long, task });
        }
        Ok(())
    }

    /// Returns the work of an attempt, or why this program cannot do it.
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
