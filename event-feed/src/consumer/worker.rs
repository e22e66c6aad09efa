//! A durable consumer of the log that runs by itself. Any number of workers of one name may run, in
//! any number of processes; one of them works.
//!
//! States: *standing by* (another worker holds the lease) → *proving* (take the lease, load the
//! checkpoint, prove that the log is the checkpoint's) → *working* (read, reveal, upcast, hand
//! over, commit) → *stopped*, for a reason that a person must remove. After any failure it goes
//! back to its checkpoint; after losing the lease, to *standing by*.
//!
//! Guarantees: the events after the checkpoint are handed over in the log's order, each in one
//! committed batch, whatever dies in between. An owner that was replaced commits nothing, because
//! its term is old. A worker that hangs does not renew its lease, so another one takes over. A
//! worker that cannot read the log or the keys gives the lease up, so that another one can try.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use event_store::UpcastingLog;
use event_store::encryption::Vault;
use futures::FutureExt as _;
use nats_kit::NatsHandle;
use postgres_kit::{Connection, Lease, Pauses, Term, ended_when_lost};
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::continuity::{self, Continuity};
use super::handler::Handler;
use super::{Consumer, Held};
use crate::follower::{Follower, FollowerSettings};

mod end;
mod metrics;
mod work;

pub use end::{End, StopReason};

use end::Failure;

/// How long connecting for the lease may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a statement about the lease may take.
const CALL_LIMIT: Duration = Duration::from_millis(2_500);
/// How long taking the lease may take, including ending the old owner's backend.
const TAKE_LIMIT: Duration = Duration::from_secs(4);
/// How long the consumer's database may take to give the checkpoint, and the log to prove it.
const PROVE_LIMIT: Duration = Duration::from_secs(10);
/// How often a lease is renewed within its duration.
const RENEWALS: u32 = 3;
/// The time that a step may take besides a batch before the worker counts as hung.
const PULSE_SLACK: Duration = Duration::from_secs(15);

/// The limits and intervals of a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The maximum number of stored events in one batch.
    pub batch: usize,
    /// How long the handler may take for a batch. A slower one is dropped, and retried with half of
    /// the events. Keep it below half of the lease's duration.
    pub batch_limit: Duration,
    /// How often a standby checks whether the lease is free.
    pub standby_interval: Duration,
    /// The first pause after a failure. It doubles up to [`WorkerSettings::retry_most`].
    pub retry_first: Duration,
    /// The longest pause after a failure.
    pub retry_most: Duration,
    /// How the log is read.
    pub follower: FollowerSettings,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            batch: 500,
            batch_limit: Duration::from_secs(4),
            standby_interval: Duration::from_millis(500),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(2),
            follower: FollowerSettings::default(),
        }
    }
}

/// A worker's hold on its lease and its checkpoint.
struct Owned {
    connection: Connection,
    term: Term,
    checkpoint: Checkpoint,
}

/// The result of trying to become the owner.
enum Acquired {
    Owned(Box<Owned>),
    Elsewhere,
    Stopped(StopReason),
    Drained,
}

/// How working ended.
enum Turn {
    Drained,
    Stopped(StopReason),
    /// The lease is lost, or given up for another worker.
    StandBy,
    /// The history must be proved again.
    Again,
}

/// A durable consumer of the log. See the module's guarantees.
pub struct Worker<H> {
    log: UpcastingLog,
    nats: Option<NatsHandle>,
    consumer: Consumer,
    handler: H,
    lease: Lease,
    connect: PgConnectOptions,
    settings: WorkerSettings,
    /// The clock of the lease. The size of the next batch outlives an ownership: if a batch takes
    /// longer than the lease lasts, the next owner must not begin with the same batch.
    held: Held,
    health: Component,
    pulse: Pulse,
    pauses: Pauses,
    /// The connection of a standby, for its next attempt.
    standby: Option<Connection>,
}

impl<H: fmt::Debug> fmt::Debug for Worker<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("lease", &self.lease)
            .field("handler", &self.handler)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Worker<H> {
    /// Creates a worker. It reads `log`, keeps `lease` in the database of `connect`, and reports
    /// its health under the lease's name.
    ///
    /// The lease's name is the consumer's name: workers of one name share one checkpoint.
    pub fn new(
        log: UpcastingLog,
        (lease, connect): (Lease, PgConnectOptions),
        handler: H,
        health: &Health,
        settings: WorkerSettings,
    ) -> Self {
        let name = lease.name().to_owned();
        metrics::describe();
        metrics::unknown(&name);
        let limit = settings.batch_limit + PULSE_SLACK;
        let connect = ended_when_lost(connect)
            // The lease's tables find the connections of an owner by this end of their name.
            .application_name(&format!("consumer {}", lease.owner()))
            .options([
                ("statement_timeout", "2s"),
                ("lock_timeout", "1s"),
                ("tcp_user_timeout", "5s"),
            ]);
        Self {
            log,
            nats: None,
            consumer: Consumer::default(),
            handler,
            connect,
            health: health.component(name.clone()),
            pulse: health.pulse(format!("{name} worker"), limit),
            pauses: Pauses::new(settings.retry_first, settings.retry_most),
            held: Held::new(lease.duration(), lease.duration() / RENEWALS, settings.batch),
            lease,
            settings,
            standby: None,
        }
    }

    /// Reveals personal fields with these keys. Without a vault they stay encrypted.
    #[must_use]
    pub fn revealing(mut self, vault: Arc<Vault>) -> Self {
        self.consumer = Consumer::revealing(vault);
        self
    }

    /// Reads live from this broker. Without one, the worker polls the log.
    #[must_use]
    pub fn live(mut self, nats: NatsHandle) -> Self {
        self.nats = Some(nats);
        self
    }

    /// Works until `drain` is cancelled, then finishes the current batch and gives up the lease. It
    /// waits for whatever is away.
    pub async fn run(mut self, drain: CancellationToken) -> End {
        let store = Arc::clone(self.log.store());
        let mut follower = Follower::new(store, self.nats.clone(), self.settings.follower.clone());
        loop {
            self.pulse.beat();
            if drain.is_cancelled() {
                break;
            }
            let turn = match self.acquire(&drain).await {
                Ok(Acquired::Owned(owned)) => self.work(*owned, &mut follower, &drain).await,
                Ok(Acquired::Stopped(reason)) => Turn::Stopped(reason),
                Ok(Acquired::Drained) => Turn::Drained,
                Ok(Acquired::Elsewhere) => {
                    self.health.ready();
                    Turn::StandBy
                }
                Err(failure) => {
                    self.failed(&failure, &drain).await;
                    continue;
                }
            };
            match turn {
                Turn::Drained => break,
                Turn::Again => wait(self.settings.retry_first, &drain).await,
                Turn::Stopped(reason) => {
                    self.pulse.rest();
                    let text = chain(&reason);
                    tracing::error!(consumer = self.lease.name(), reason = text, "stopped");
                    self.health.needs_action(text);
                    return End::Stopped(reason);
                }
                Turn::StandBy => wait(self.settings.standby_interval, &drain).await,
            }
        }
        self.pulse.rest();
        End::Drained
    }

    /// Takes the lease and the checkpoint, and proves that the log is the checkpoint's.
    async fn acquire(&mut self, drain: &CancellationToken) -> Result<Acquired, Failure> {
        let mut connection = tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(Acquired::Drained),
            connection = self.connection() => connection?,
        };
        // Taking is not cancelled, because a lease that is taken must be given up.
        let (began, lease) = (Instant::now(), &self.lease);
        let take = async |raw: &mut PgConnection| lease.take(raw).await;
        let Some(term) = connection.run_within(TAKE_LIMIT, take).await? else {
            self.standby = Some(connection);
            return Ok(Acquired::Elsewhere);
        };
        self.held.kept(began);
        let proved = tokio::select! {
            biased;
            () = drain.cancelled() => {
                self.give_up(connection, term).await;
                return Ok(Acquired::Drained);
            }
            proved = timeout(PROVE_LIMIT, self.prove(term)) => proved,
        };
        match proved.unwrap_or(Err(Failure::Silent)) {
            Ok(Proved::Same(checkpoint)) => {
                // Others worked meanwhile: this process does not know whom they saw erased.
                self.consumer.start_over();
                let (consumer, position) = (self.lease.name(), checkpoint.at.position.0);
                tracing::info!(consumer, term = term.0, position, "working");
                Ok(Acquired::Owned(Box::new(Owned { connection, term, checkpoint })))
            }
            Ok(Proved::Later) => {
                // Another worker was quicker, and holds the lease at the next attempt. Or the
                // lease's table lost terms; each attempt raises the term by one.
                self.give_up(connection, term).await;
                Err(Failure::LaterTerm(term))
            }
            Ok(Proved::Other(reason)) => {
                self.give_up(connection, term).await;
                Ok(Acquired::Stopped(reason))
            }
            Err(failure) => {
                self.give_up(connection, term).await;
                Err(failure)
            }
        }
    }

    /// The connection for the lease. A standby's is taken out, so that a failed one is not used
    /// again.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        match self.standby.take().filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await,
        }
    }

    async fn prove(&mut self, term: Term) -> Result<Proved, Failure> {
        let checkpoint = match caught(self.handler.take(term)).await {
            None => return Ok(Proved::Other(StopReason::Panicked)),
            Some(taken) => match taken.map_err(Failure::Checkpoint)? {
                None => return Ok(Proved::Later),
                Some(checkpoint) => checkpoint,
            },
        };
        let Checkpoint { epoch, at } = checkpoint;
        Ok(match continuity::prove(self.log.store().as_ref(), epoch, at).await? {
            Continuity::Same(_) => Proved::Same(checkpoint),
            Continuity::Over => Proved::Other(StopReason::Over(at.position)),
            Continuity::Lost { found, unknown } => {
                Proved::Other(StopReason::OtherHistory { at, found, unknown })
            }
        })
    }

    /// Releases the lease, so that another worker can start at once.
    async fn give_up(&self, mut connection: Connection, term: Term) {
        let lease = &self.lease;
        let give_up = async |raw: &mut PgConnection| lease.give_up(raw, term).await;
        let consumer = lease.name();
        match connection.run(give_up).await {
            Ok(()) => tracing::info!(consumer, term = term.0, "gave up the lease"),
            Err(error) => {
                tracing::warn!(consumer, %error, "could not give up the lease; it will expire");
            }
        }
        connection.close().await;
    }

    /// Reports a failure, and waits before the next attempt.
    async fn failed(&mut self, failure: &Failure, drain: &CancellationToken) {
        let error = chain(failure);
        tracing::warn!(consumer = self.lease.name(), error, "failed: will retry");
        self.health.not_ready(error);
        wait(self.pauses.next_pause(), drain).await;
    }
}

/// Waits for the handler. Returns `None` if it panicked.
async fn caught<T>(handling: impl Future<Output = T>) -> Option<T> {
    // The worker stops then, so nobody sees what the handler left half done.
    AssertUnwindSafe(handling).catch_unwind().await.ok()
}

/// What the log turned out to be.
enum Proved {
    /// The log of this checkpoint.
    Same(Checkpoint),
    /// A later owner has the checkpoint.
    Later,
    /// Another history.
    Other(StopReason),
}

/// Waits, unless the process is stopping.
async fn wait(time: Duration, drain: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = drain.cancelled() => {}
    }
}

/// An error and its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
