//! The outbox relay: publishes the log, in order, to a target. The first target is the JetStream
//! stream `EVENTS` ([`JetStream`]), the second one an exchange of RabbitMQ ([`RabbitMq`]); other
//! targets implement [`RelayTarget`]. One process may run a relay for each target. They share
//! nothing, so one target that is away does not hold up another.
//!
//! States: *standing by* (another relay holds the lease) → *resuming* (find where the target ends,
//! and check that it belongs to this log) → *publishing* (read the next events, check the term,
//! publish). After any error it goes back to *resuming*, and after losing the lease to *standing
//! by*. While the target has events that the log lost, it stays in *resuming* and is not ready.
//!
//! Some targets tell where they end and refuse what does not follow. For them, neither a crash in a
//! batch nor two concurrent leaders can repeat, skip or reorder events, and the relay keeps no
//! checkpoint. For other targets, the relay keeps a cursor and publishes at least once, in order.
//! The relay ends only on request: while Postgres or the target is away, it waits and is not ready.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, StoreError};
use futures::future::BoxFuture;
use postgres_kit::{Connection, Keeper, Lease, LeaseTable, Pauses};
use service_kit::Pulse;
use service_kit::clock::SharedClock;
use service_kit::health::{Component, Health};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod cursor;
mod jetstream;
mod lag;
mod leader;
mod metrics;
mod rabbitmq;
mod resume;
mod target;
mod wake;

pub use jetstream::{JetStream, JetStreamSettings, PublishMode, StreamLimits};
pub use rabbitmq::RabbitMq;
pub use resume::{LostCommits, ResumeError, Resumed, Resuming};
pub use target::{EncodedBatch, NotPublished, RelayTarget, TargetError};

use lag::Lag;
use leader::{Leader, RelayError, Round};
use wake::Wake;

/// The prefix of a lease's name. The target's name follows.
const LEASE_PREFIX: &str = "event-relay/";
/// The first pause after an error. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// The server's limit for a statement about the lease.
const STATEMENT_TIMEOUT: &str = "2s";
/// The client's limit for such a statement, which is slightly longer. A slower connection is
/// dropped, and the lease is lost with it.
const STATEMENT_LIMIT: Duration = Duration::from_millis(2_500);
/// How long connecting for the lease may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long taking the lease may take, including ending the old owner's backend.
const TAKE_LIMIT: Duration = Duration::from_secs(4);
/// A leader that cannot read the log for this long gives up the lease.
const UNABLE_AFTER: Duration = Duration::from_secs(6);
/// How long the relay may make no progress before the process is not ready. Longer than any single
/// step may take.
const PULSE_LIMIT: Duration = Duration::from_secs(8);

/// The relay's limits and intervals.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// How long the lease lasts without a renewal, and so how soon a standby replaces a vanished
    /// leader.
    pub lease_duration: Duration,
    /// How often a standby checks whether the lease is free.
    pub standby_interval: Duration,
    /// How often the leader polls for new events when no wake-up comes.
    pub poll_interval: Duration,
    /// How often the head is announced.
    pub beacon_interval: Duration,
    /// How often the leader checks a target while it has nothing to publish.
    pub look_interval: Duration,
    /// How many events before the head a new or recreated target begins.
    pub refill_window: i64,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(4),
            standby_interval: Duration::from_secs(1),
            poll_interval: Duration::from_millis(500),
            beacon_interval: Duration::from_secs(1),
            look_interval: Duration::from_secs(5),
            refill_window: 1_000_000,
        }
    }
}

/// Opens the log again. A store that met another history cannot be used any more.
pub type OpenStore =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn EventStore>, StoreError>> + Send + Sync>;

/// One relay for one target. Any number may run; one of them leads.
pub struct Relay<T> {
    owner: Uuid,
    open_store: OpenStore,
    lease_connect: PgConnectOptions,
    wake_connect: PgConnectOptions,
    wake_channel: &'static str,
    target: T,
    clock: SharedClock,
    settings: RelaySettings,
    postgres: Component,
    /// The target's component of the health report.
    reach: Component,
    pulse: Pulse,
}

/// How leading ended.
enum Ended {
    /// The process is stopping.
    Draining,
    /// Another relay leads, or the store must be opened again.
    StepDown,
    /// This relay cannot read the log. It pauses, so that another one can take the lease.
    Unable,
}

impl<T: RelayTarget> Relay<T> {
    /// Creates a relay. It reads the log through `open_store`, keeps its lease in the database of
    /// `connect`, listens there on `wake_channel`, and publishes to `target`.
    pub fn new(
        open_store: OpenStore,
        connect: PgConnectOptions,
        wake_channel: &'static str,
        target: T,
        clock: SharedClock,
        health: &Health,
        settings: RelaySettings,
    ) -> Self {
        let name = target.name();
        metrics::start(name);
        let connect = connect.options([
            ("tcp_user_timeout", "5s"),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", "1s"),
        ]);
        Self {
            owner: Uuid::now_v7(),
            open_store,
            lease_connect: connect.clone().application_name("event-relay lease"),
            wake_connect: connect.application_name("event-relay wake"),
            wake_channel,
            postgres: health.component(format!("postgres/{name}")),
            reach: health.component(name),
            target,
            clock,
            settings,
            pulse: health.pulse(format!("relay/{name}"), PULSE_LIMIT),
        }
    }

    /// Runs until `drain` is cancelled, then finishes the current batch and gives up the lease.
    pub async fn run(self, drain: CancellationToken) {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        while !drain.is_cancelled() {
            self.pulse.beat();
            match self.stand_by(&drain).await {
                Ok(None) => return,
                Ok(Some(keeper)) => {
                    pauses.reset();
                    let (target, term) = (self.target.name(), keeper.term().0);
                    metrics::leading(target, true);
                    metrics::term(target, term);
                    tracing::info!(relay = target, term, owner = %self.owner, "leading");
                    let ended = self.lead(&keeper, &drain).await;
                    metrics::leading(target, false);
                    self.target.leave().await;
                    keeper.give_up().await;
                    match ended {
                        Ended::Draining => return,
                        Ended::StepDown => tracing::info!("standing by"),
                        Ended::Unable => {
                            tracing::warn!("the log cannot be read: another relay may lead");
                            wait(self.settings.standby_interval * 2, &drain).await;
                        }
                    }
                }
                Err(error) => {
                    self.postgres.not_ready(format!("lease: {error}"));
                    wait(pauses.next_pause(), &drain).await;
                }
            }
        }
    }

    /// Waits until this relay has the lease; `None` if the process is stopping.
    async fn stand_by(&self, drain: &CancellationToken) -> Result<Option<Keeper>, sqlx::Error> {
        let name = format!("{LEASE_PREFIX}{}", self.target.name());
        let lease =
            Lease::new(LeaseTable::EventStore, name, self.owner, self.settings.lease_duration);
        let mut connection =
            Connection::open(&self.lease_connect, CONNECT_LIMIT, STATEMENT_LIMIT).await?;
        let mut looked_at = None;
        loop {
            self.pulse.beat();
            let taken = connection
                .run_within(TAKE_LIMIT, async |raw: &mut PgConnection| lease.take(raw).await);
            if let Some(term) = taken.await? {
                // The metric changes at once: a publisher in a batch notices the loss only
                // afterwards.
                let target = self.target.name();
                let on_loss = move || metrics::leading(target, false);
                return Ok(Some(Keeper::start(lease, term, connection, on_loss)));
            }
            self.postgres.ready();
            self.look_at_target(&mut looked_at).await;
            tokio::select! {
                () = tokio::time::sleep(self.settings.standby_interval) => {}
                () = drain.cancelled() => return Ok(None),
            }
        }
    }

    async fn lead(&self, keeper: &Keeper, drain: &CancellationToken) -> Ended {
        let store = match (self.open_store)().await {
            Ok(store) => store,
            Err(error) => {
                self.postgres.not_ready(error.to_string());
                return Ended::Unable;
            }
        };
        let wake = Wake::start(self.wake_connect.clone(), self.wake_channel);
        let lag = Lag::new(self.target.name(), Arc::clone(&self.clock));
        let leader = Leader::new(
            &self.target,
            Arc::clone(&store),
            keeper,
            (&lag, &self.pulse),
            &self.settings,
        );
        let lost = keeper.lost();
        tokio::select! {
            ended = self.publish(leader, &wake, &lost, drain) => ended,
            never = lag.measure(&*store, self.settings.beacon_interval) => match never {},
        }
    }

    async fn publish(
        &self,
        mut leader: Leader<'_, T>,
        wake: &Wake,
        lost: &CancellationToken,
        drain: &CancellationToken,
    ) -> Ended {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        let mut failures = 0;
        let mut could_read_at = Instant::now();
        loop {
            if drain.is_cancelled() {
                return Ended::Draining;
            }
            match leader.run_once().await {
                Ok(round) => {
                    failures = 0;
                    pauses.reset();
                    could_read_at = Instant::now();
                    self.postgres.ready();
                    self.reach.ready();
                    if round == Round::More {
                        continue;
                    }
                    tokio::select! {
                        () = wake.woken() => {}
                        () = tokio::time::sleep(self.settings.poll_interval) => {}
                        () = lost.cancelled() => return Ended::StepDown,
                        () = drain.cancelled() => return Ended::Draining,
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.note(&error, failures);
                    if !matches!(error, RelayError::Store(StoreError::Unavailable(_))) {
                        could_read_at = Instant::now();
                    } else if could_read_at.elapsed() > UNABLE_AFTER {
                        return Ended::Unable;
                    }
                    if matches!(
                        error,
                        RelayError::Lost | RelayError::Store(StoreError::Unusable(_))
                    ) {
                        return Ended::StepDown;
                    }
                    wait(pauses.next_pause(), drain).await;
                }
            }
        }
    }

    /// Logs an interruption. A single refusal is normal and is resolved in the next round; a
    /// lasting one makes the process not ready.
    fn note(&self, error: &RelayError, failures: u32) {
        let relay = self.target.name();
        tracing::warn!(relay, %error, failures, "publishing was interrupted");
        match error {
            RelayError::Lost => {}
            // A single silent connection, or a refused publish: the next attempt starts from the
            // beginning.
            RelayError::Store(StoreError::Unavailable(_))
            | RelayError::NotPublished(_)
            | RelayError::Elsewhere
            | RelayError::OtherHistory(_)
                if failures <= 1 => {}
            RelayError::Store(_) | RelayError::LostCommits(_) => {
                self.postgres.not_ready(error.to_string());
            }
            RelayError::Target(_)
            | RelayError::NotPublished(_)
            | RelayError::Elsewhere
            | RelayError::OtherHistory(_) => self.reach.not_ready(error.to_string()),
        }
    }

    /// Checks whether this standby could publish. An open connection does not prove that the server
    /// answers, so it is asked from time to time.
    async fn look_at_target(&self, looked_at: &mut Option<Instant>) {
        if !self.target.is_connected() {
            *looked_at = None;
            return self.reach.not_ready("not connected");
        }
        if looked_at.is_some_and(|at| at.elapsed() < self.settings.look_interval) {
            return;
        }
        match self.target.look().await {
            Ok(()) => self.reach.ready(),
            Err(error) => self.reach.not_ready(error.to_string()),
        }
        *looked_at = Some(Instant::now());
    }
}

/// Waits, unless the process is stopping.
async fn wait(time: Duration, drain: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = drain.cancelled() => {}
    }
}
