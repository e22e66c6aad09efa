//! The runner: reads the log once and feeds it to every projection whose lease this process holds.
//!
//! Processes share the partitions (`runner/assignment.rs`). A partition (projection, generation,
//! number) is in one of three states:
//! - *waiting*: another process has it, or its database is away. It is tried again soon.
//! - *owned*: it gets every batch. Rows and checkpoint commit together, fenced by the lease's term.
//! - *stopped*: an event cannot be read, no more events can be parked, or the log has another
//!   history. The checkpoint records the reason, the lease is given up, and the other partitions
//!   continue. The partition is tried again when the process restarts, when another generation
//!   becomes live, or, after another history, when the log has the right one.
//!
//! While a projection is paused (`pause.rs`), its partitions wait in every process.
//!
//! An event that can be read but is refused by a row's fold is parked. It affects only that row
//! (`runner/parked.rs`).
//!
//! Guarantees (P6): each event takes effect exactly once, in the log's order, whatever dies in
//! between. An owner that was replaced can change nothing.
//!
//! The runner builds on what every durable consumer needs ([`event_feed::consumer`]): the next
//! events, the proof of the history, and the clock of a held lease.

use std::sync::Arc;
use std::time::Duration;

use event_feed::consumer::{Consumer, Next};
use event_feed::{Follower, NatsHandle};
use event_store::KeyError;
use event_store::encryption::Vault;
use event_store::{EventRef, Filter, Head, RecordedEvent, Registry, UpcastingLog};
use futures::future::join_all;
use postgres_kit::Pauses;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::generation;
use crate::projection::AnyProjection;

mod acquire;
mod announce;
mod assignment;
mod backoff;
pub(crate) mod checkpoint;
mod confirm;
pub(crate) mod database;
pub(crate) mod discover;
mod dispatch;
pub(crate) mod erasing;
mod error;
mod given;
mod history;
mod key;
pub mod lease;
pub(crate) mod parked;
mod partition;
mod passing;
mod pulse;
mod slot;
mod turns;
mod watch;

use discover::{Discovery, Role};
pub use error::RunError;
pub use given::project;
pub(crate) use key::PartitionKey;
use slot::Slot;
pub use watch::Watch;

/// The most events that one transaction takes.
pub const MAX_BATCH: usize = 1_000;
/// The most events that one transaction takes after Postgres refused rows. All rows that they touch
/// are in memory at once.
pub(crate) const MAX_APART: usize = 100;
/// How often a waiting partition is tried again, unless a backoff says otherwise.
pub const ACQUIRE_EVERY: Duration = Duration::from_millis(500);
/// The first pause after Postgres failed. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// How long the runner waits for acquisitions to end. A longer one continues in the background
/// while the other partitions work.
const ACQUIRE_PATIENCE: Duration = Duration::from_millis(250);

/// A batch for every partition.
pub(crate) struct Job {
    /// The events as they are stored.
    pub(crate) events: Vec<RecordedEvent>,
    /// The registry that upcasts them.
    pub(crate) registry: Arc<Registry>,
    pub(crate) mode: &'static str,
    pub(crate) head: Head,
    /// When the log was last known to have no event after these, or after the last one before.
    pub(crate) complete_at: Option<Instant>,
}

/// Projects the log into the read tables. See the guarantees of the module.
pub struct Runner {
    log: UpcastingLog,
    options: Arc<PgConnectOptions>,
    owner: Uuid,
    nats: Option<NatsHandle>,
    slots: Vec<Slot>,
    watch: Watch,
    consumer: Consumer,
    discovery: Discovery,
    role: Role,
    /// The time up to which the partitions at the head were last confirmed to be complete.
    confirmed: Option<Instant>,
    /// Whether the partitions that fell behind had the last turn.
    behind_had_turn: bool,
}

/// The state of one projection in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Another process has it, or its database is away.
    Waiting,
    /// This process owns it, and it is at this event.
    At(EventRef),
    /// It is stopped, for this reason.
    Stopped(String),
}

impl Runner {
    /// Creates a runner for the live generation of each of `projections`. It owns nothing yet.
    pub fn new(
        log: UpcastingLog,
        options: PgConnectOptions,
        projections: Vec<Arc<dyn AnyProjection>>,
        nats: Option<NatsHandle>,
        watch: Watch,
    ) -> Self {
        let slots =
            projections.into_iter().map(|projection| Slot::of(projection, None, 0)).collect();
        Self {
            log,
            options: Arc::new(options),
            owner: Uuid::now_v7(),
            nats,
            slots,
            watch,
            consumer: Consumer::default(),
            discovery: Discovery::default(),
            role: Role::Alone,
            confirmed: None,
            behind_had_turn: false,
        }
    }

    /// Reveals personal fields with these keys. Without a vault, an event with an encrypted field
    /// stops the projections that read the field.
    #[must_use]
    pub fn revealing(mut self, vault: Arc<Vault>) -> Self {
        self.consumer = Consumer::revealing(vault);
        self
    }

    /// Projects until `drain` is cancelled, then finishes the current batch and gives up all
    /// leases. It waits for whatever is away.
    pub async fn run(&mut self, mut follower: Follower, drain: CancellationToken) {
        let _guard = pulse::guard(self.watch.clone());
        self.report();
        loop {
            self.role = Role::Shares { able: self.consumer.is_able() };
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                () = self.acquire_waiting(ACQUIRE_PATIENCE) => {}
            }
            let Some(from) = self.furthest_back() else {
                // It owns nothing, so only this shows whether the log can be read again.
                let answers = self.watch.look_at(self.log.store().as_ref()).await;
                self.consumer.asked(answers);
                tokio::select! {
                    () = drain.cancelled() => break,
                    () = sleep(ACQUIRE_EVERY) => {}
                }
                self.report();
                continue;
            };
            let next = tokio::select! {
                biased;
                () = drain.cancelled() => break,
                next = self.next(&mut follower, from) => next,
            };
            let Some(next) = next else { continue };
            match next {
                Next::Batch { batch, log_answers } => {
                    if log_answers {
                        self.watch.store_answers();
                    }
                    if !batch.events.is_empty() {
                        self.watch.keys_answer();
                    }
                    let complete_at = batch.complete_at.filter(|_| log_answers);
                    let job = self.job(batch.events, batch.mode.as_str(), batch.head);
                    self.work(Job { complete_at, ..job }, from).await;
                }
                // The partitions stay at their checkpoints, and the reader goes back to them.
                Next::KeysAway(error) => self.wait_for_keys(&error, &drain).await,
                Next::OtherHistory => self.acquire_again(),
                Next::LogAway(error) => {
                    self.watch.store_fails(&error);
                    self.keep_leases().await;
                }
            }
            self.report();
        }
        self.discovery.leave(self.owner).await;
        self.give_up().await;
    }

    /// Acquires all free partitions, and projects everything that the log has now. It waits for
    /// nothing, and is meant for tests and tools.
    ///
    /// # Errors
    /// [`RunError`] when a database does not answer. Batches committed before the error stay
    /// committed.
    pub async fn run_once(&mut self) -> Result<Vec<(&'static str, Standing)>, RunError> {
        for slot in &mut self.slots {
            slot.wait_no_longer();
        }
        self.role = Role::Alone;
        self.discovery.look_now();
        self.acquire_waiting(acquire::ACQUIRE_LIMIT).await;
        for slot in &mut self.slots {
            slot.look_at_parked_now();
        }
        self.retry_parked().await;
        while let Some(from) = self.furthest_back() {
            let limit = u32::try_from(MAX_BATCH).unwrap_or(u32::MAX);
            let mut events = self.log.store().read(&Filter::All, from.position, limit).await?;
            self.consumer.reveal(&mut events).await?;
            let head = self.log.store().head().await?;
            if events.is_empty() && !self.slots.iter().any(Slot::is_erasing) {
                break;
            }
            self.work(self.job(events, "catching_up", head), from).await;
            if let Some(error) = self.slots.iter_mut().find_map(Slot::take_error) {
                return Err(error);
            }
        }
        self.slots.iter_mut().find_map(Slot::take_error).map_or_else(|| Ok(self.standings()), Err)
    }

    async fn wait_for_keys(&mut self, error: &KeyError, drain: &CancellationToken) {
        // The events came from the log, so it can be read.
        self.watch.store_answers();
        self.watch.keys_fail(error);
        self.keep_leases().await;
        tokio::select! {
            () = drain.cancelled() => {}
            () = self.consumer.pause() => {}
        }
    }

    fn job(&self, events: Vec<RecordedEvent>, mode: &'static str, head: Head) -> Job {
        let registry = Arc::clone(self.log.registry());
        Job { events, registry, mode, head, complete_at: None }
    }

    /// The state of each projection in this process.
    pub fn standings(&self) -> Vec<(&'static str, Standing)> {
        self.slots.iter().map(|slot| (slot.name(), slot.standing())).collect()
    }

    /// Gives up all leases, so that another process can take over at once.
    pub async fn give_up(&mut self) {
        join_all(self.slots.iter_mut().map(Slot::give_up)).await;
    }

    /// Retries the parked events that are due.
    async fn retry_parked(&mut self) {
        let again = parked::Reread { log: self.log.clone(), vault: self.consumer.vault() };
        for slot in &mut self.slots {
            slot.retry_parked(&again).await;
        }
    }

    async fn keep_leases(&mut self) {
        keep_leases(&mut self.slots).await;
    }

    /// Starts acquiring the partitions that are due, and waits at most `patience` for the results.
    /// The future may be dropped at any await.
    async fn acquire_waiting(&mut self, patience: Duration) {
        self.discovery.follow(&mut self.slots, &self.options, (self.owner, self.role)).await;
        let owned = |slots: &[Slot]| slots.iter().filter(|slot| slot.mark().is_some()).count();
        let before = owned(&self.slots);
        for slot in &mut self.slots {
            slot.begin_acquire(&self.options, self.owner, self.log.store());
        }
        // An acquisition that did not end in time is checked again the next time.
        let _late =
            tokio::time::timeout(patience, join_all(self.slots.iter_mut().map(Slot::end_acquire)))
                .await;
        if owned(&self.slots) > before {
            // Other processes had the partition. This one has not seen which subjects were erased
            // meanwhile.
            self.consumer.start_over();
        }
    }

    fn acquire_again(&mut self) {
        for slot in &mut self.slots {
            slot.acquire_again();
        }
    }

    fn report(&self) {
        self.watch.nats(self.nats.as_ref().map(NatsHandle::is_connected));
        self.watch.pauses(self.discovery.pauses());
        self.watch.partitions(&self.slots);
    }
}

async fn keep_leases(slots: &mut [Slot]) {
    // Concurrently, so that a silent server delays the runner only once.
    join_all(slots.iter_mut().map(Slot::keep_lease)).await;
}

/// Checks the schema of the read model before a process starts. It waits while Postgres is away.
///
/// # Errors
/// [`SchemaError`](generation::SchemaError) if the schema is not the one that this program knows.
pub async fn check_read_model(
    options: &PgConnectOptions,
    watch: &Watch,
) -> Result<(), generation::SchemaError> {
    let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
    loop {
        let checked = match database::connect(options, Uuid::now_v7()).await {
            Ok(mut connection) => {
                connection.run(async |raw: &mut PgConnection| generation::check(raw).await).await
            }
            Err(error) => Err(error.into()),
        };
        match checked {
            Err(generation::SchemaError::Database(error)) if postgres_kit::is_transient(&error) => {
                watch.read_model_fails(&error);
                pauses.wait().await;
            }
            other => return other,
        }
    }
}
