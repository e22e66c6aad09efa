//! Sends all feeds. Any number of processes may run; the one that holds the lease sends, and the
//! others take over within the lease's duration.
//!
//! A process that lost the lease without noticing may send what the next one sends, too: receivers
//! get each event at least once in any case. It cannot move a feed that another one has moved.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use event_feed::{FollowError, Follower, FollowerSettings, NatsHandle};
use event_store::{EventRef, Head};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use postgres_kit::{Connection, Keeper, Lease, LeaseTable, Pauses, Term};
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::feed::Feed;
use crate::sending::{Receivers, Sending};
use crate::tables::{self, Tables};
use crate::telemetry::{self, Gauges};

/// The name of the lease.
const NAME: &str = "webhooks";
/// How long the lease lasts without a renewal.
const LEASE: Duration = Duration::from_secs(6);
/// How long connecting for the lease may take, and a statement about it.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_millis(1_500);
/// How long taking the lease may take, including ending the old owner's backend.
const TAKE_LIMIT: Duration = Duration::from_secs(4);
/// The pauses after a failure, and between attempts to take the lease.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);
const STANDBY: Duration = Duration::from_millis(500);
/// The maximum time without progress.
const PULSE_LIMIT: Duration = Duration::from_secs(20);
/// The maximum number of events that are read at once to learn the head of the log.
const HEAD_BATCH: usize = 1_000;
/// How often the gauges are set, in looks at the tables.
const GAUGES_EVERY: u32 = 5;

/// Sends all feeds of all active subscriptions.
#[derive(Debug)]
pub struct Dispatcher {
    sending: Sending,
    connect: PgConnectOptions,
    nats: Option<NatsHandle>,
    lease: Lease,
    health: Components,
    changes: watch::Receiver<u64>,
}

/// What `/readyz` shows.
#[derive(Debug)]
struct Components {
    tables: Component,
    log: Component,
    pulse: Pulse,
}

/// The result of a turn as the one that sends.
enum Turn {
    StandBy,
    Drained,
}

impl Dispatcher {
    /// The maximum number of connections besides those of [`Tables`]: that of the lease.
    pub const OTHER_CONNECTIONS: u32 = 1;

    /// A dispatcher with its lease at the address `connect`. `changes` moves when a person has
    /// decided something. It polls the log unless [`Dispatcher::live`] gives it a broker.
    pub fn new(
        sending: Sending,
        connect: &PgConnectOptions,
        health: &Health,
        changes: watch::Receiver<u64>,
    ) -> Self {
        telemetry::describe();
        let lease = Lease::new(LeaseTable::Webhooks, NAME, Uuid::now_v7(), LEASE);
        // The lease's tables find the connections of an owner by this end of their name.
        let connect = tables::options(connect, &format!("webhooks {}", lease.owner()));
        let health = Components {
            tables: health.component("webhook_tables"),
            log: health.component("event_store"),
            pulse: health.pulse("webhooks", PULSE_LIMIT),
        };
        Self { sending, connect, nats: None, lease, health, changes }
    }

    /// Learns of new events from this broker.
    #[must_use]
    pub fn live(mut self, nats: NatsHandle) -> Self {
        self.nats = Some(nats);
        self
    }

    /// Sends until `drain` is cancelled. It waits for whatever is away.
    pub async fn run(self, drain: CancellationToken) {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        while !drain.is_cancelled() {
            self.health.pulse.beat();
            let pause = match self.acquire().await {
                Ok(Some((connection, term))) => {
                    pauses.reset();
                    match self.lead(connection, term, &drain).await {
                        Turn::Drained => break,
                        Turn::StandBy => RETRY_FIRST,
                    }
                }
                Ok(None) => {
                    self.health.tables.ready();
                    self.health.log.ready();
                    STANDBY
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease of webhooks cannot be taken: will retry");
                    self.health.tables.not_ready(error.to_string());
                    pauses.next_pause()
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = drain.cancelled() => {}
            }
        }
        self.health.pulse.rest();
    }

    async fn acquire(&self) -> sqlx::Result<Option<(Connection, Term)>> {
        let mut connection = Connection::open(&self.connect, CONNECT_LIMIT, CALL_LIMIT).await?;
        let take = async |raw: &mut PgConnection| self.lease.take(raw).await;
        if let Some(term) = connection.run_within(TAKE_LIMIT, take).await? {
            return Ok(Some((connection, term)));
        }
        connection.close().await;
        Ok(None)
    }

    /// Sends as long as the lease is held.
    async fn lead(&self, connection: Connection, term: Term, drain: &CancellationToken) -> Turn {
        tracing::info!(term = term.0, "sending webhooks");
        let keeper = Keeper::start(self.lease.clone(), term, connection, || {});
        let lost = keeper.lost();
        let receivers = Arc::new(Receivers::default());
        let heads = watch::Sender::new(None);
        let (found, mut finds) = mpsc::channel(1);
        let mut listing = std::pin::pin!(self.list(&found, &heads, &receivers));
        let mut following = std::pin::pin!(self.follow(&heads));
        let (mut feeds, mut running) = (FuturesUnordered::new(), HashSet::new());
        // All of it is one task: every call of a feed has a deadline, and none computes for long.
        loop {
            tokio::select! {
                () = lost.cancelled() => return Turn::StandBy,
                () = drain.cancelled() => break,
                () = &mut listing => {}
                () = &mut following => {}
                Some(ended) = feeds.next(), if !feeds.is_empty() => {
                    running.remove(&ended);
                }
                Some(active) = finds.recv() => {
                    let active: Vec<Uuid> = active;
                    for id in active.into_iter().filter(|id| running.insert(*id)) {
                        let news = (heads.subscribe(), self.changes.clone());
                        let receivers = Arc::clone(&receivers);
                        let feed = Feed::new(id, self.sending.clone(), receivers, news);
                        feeds.push(feed.run(drain.clone()));
                    }
                }
            }
        }
        while feeds.next().await.is_some() {}
        keeper.give_up().await;
        Turn::Drained
    }

    /// Finds the feeds to send, for ever.
    async fn list(
        &self,
        found: &mpsc::Sender<Vec<Uuid>>,
        heads: &watch::Sender<Option<Head>>,
        receivers: &Receivers,
    ) {
        let (mut changes, mut gauges) = (self.changes.clone(), Gauges::default());
        let Sending { tables, limits, .. } = &self.sending;
        for round in 0_u32.. {
            self.health.pulse.beat();
            changes.mark_unchanged();
            match tables.active().await {
                Ok(active) => {
                    self.health.tables.ready();
                    // Only the end of the caller closes the channel.
                    let _ = found.send(active).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the subscriptions cannot be read: will retry");
                    self.health.tables.not_ready(error.to_string());
                }
            }
            if round.is_multiple_of(GAUGES_EVERY) {
                let head = heads.borrow().map(|head: Head| head.mark.position.0);
                measure(tables, &mut gauges, head, receivers).await;
            }
            tokio::select! {
                () = sleep(limits.poll) => {}
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Learns the head of the log, for ever.
    async fn follow(&self, heads: &watch::Sender<Option<Head>>) {
        let (log, poll_interval) = (&self.sending.log, self.sending.limits.poll);
        let settings = FollowerSettings { poll_interval, ..FollowerSettings::default() };
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        let mut follower = Follower::new(Arc::clone(log), self.nats.clone(), settings);
        let mut is_sought = false;
        loop {
            let followed = async {
                if !is_sought {
                    let head = log.head().await?;
                    return Ok((head, Some(head.mark)));
                }
                let batch = follower.next_batch(HEAD_BATCH).await?;
                Ok::<(Head, Option<EventRef>), FollowError>((batch.head, None))
            };
            match followed.await {
                Ok((head, seek)) => {
                    pauses.reset();
                    self.health.log.ready();
                    if let Some(mark) = seek {
                        follower.seek(mark);
                        is_sought = true;
                    }
                    heads.send_if_modified(|known| known.replace(head) != Some(head));
                }
                Err(error) => {
                    let error = cli_kit::describe(&error);
                    tracing::warn!(error, "the log cannot be read: will retry");
                    self.health.log.not_ready(error);
                    // The log may have another history: it is asked for its head again.
                    is_sought = false;
                    pauses.wait().await;
                }
            }
        }
    }
}

/// Sets the gauges, and forgets the receivers of subscriptions that are gone.
async fn measure(tables: &Tables, gauges: &mut Gauges, head: Option<i64>, receivers: &Receivers) {
    match tables.subscriptions().await {
        Ok(rows) => {
            gauges.show(&rows, head);
            receivers.keep(&rows.iter().map(|row| row.id).collect::<Vec<_>>());
        }
        Err(error) => tracing::warn!(%error, "the subscriptions cannot be counted"),
    }
}
