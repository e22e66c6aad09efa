//! A durable consumer on a real Postgres and a real broker: its effects and its checkpoint commit
//! together, whatever dies in between.

use std::sync::Arc;
use std::time::Duration;

use event_feed::FollowerSettings;
use event_feed::consumer::{Committed, End, StopReason, Worker, WorkerSettings};
use event_store::postgres::begin_epoch;
use event_store::{NewEvent, PostgresStore, Registry, UpcastingLog};
use local_servers::{TestDatabase, in_time};
use postgres_kit::{Lease, LeaseTable};
use serde_json::json;
use service_kit::health::Health;
use service_kit::telemetry::Telemetry;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{World, event, eventually, open, quick, quick_follower};

mod failing;
mod leased;
mod personal;
mod tally;
mod unable;

use tally::{At, Gate, Tally, checkpoint, effects, payloads, tally_database};

/// Short enough that a test does not wait long for another owner.
const SHORT: Duration = Duration::from_secs(1);
/// Longer than any test waits.
const LONG: Duration = Duration::from_hours(1);

/// A log, a broker and the consumer's database.
struct Setup {
    world: World,
    own: TestDatabase,
}

impl Setup {
    async fn new() -> Self {
        let (world, own) = tokio::join!(World::new(), tally_database());
        Self { world, own }
    }

    fn tally(&self) -> Tally {
        Tally::new(self.own.url())
    }

    fn gated(&self, gate: &Arc<Gate>) -> Tally {
        Tally::at(self.own.url(), gate)
    }

    fn worker(&self, tally: Tally, lease: Duration, health: &Health) -> Worker<Tally> {
        self.worker_with(tally, lease, health, settings())
    }

    fn worker_with(
        &self,
        tally: Tally,
        lease: Duration,
        health: &Health,
        settings: WorkerSettings,
    ) -> Worker<Tally> {
        self.worker_reading(&self.world.store, tally, lease, (health, settings))
    }

    /// A worker that reads the log through this store.
    fn worker_reading(
        &self,
        store: &PostgresStore,
        tally: Tally,
        lease: Duration,
        (health, settings): (&Health, WorkerSettings),
    ) -> Worker<Tally> {
        let registry = Registry::new([("thing.happened", 1)], []).unwrap();
        let log = UpcastingLog::new(Arc::new(store.clone()), Arc::new(registry));
        let lease = Lease::new(LeaseTable::EventStore, "tally", Uuid::now_v7(), lease);
        let connect = self.world.database.url().parse().unwrap();
        Worker::new(log, (lease, connect), tally, health, settings)
    }

    /// Runs a consumer with a short lease that polls the log.
    fn run(&self, tally: Tally) -> Running {
        Running::start(self.worker(tally, SHORT, &Health::new()))
    }

    /// Waits until every event up to `last` took effect, and checks that each did once, in order.
    async fn handled(&self, last: i64) {
        eventually("all events took effect", async || checkpoint(self.own.url()).await.0 == last)
            .await;
        assert_eq!(effects(self.own.url()).await, (1..=last).collect::<Vec<_>>());
    }
}

fn settings() -> WorkerSettings {
    WorkerSettings {
        batch: 100,
        standby_interval: Duration::from_millis(50),
        follower: quick_follower(),
        ..WorkerSettings::default()
    }
}

/// A worker in this process. Dropping it ends it at once.
struct Running {
    drain: CancellationToken,
    task: JoinHandle<End>,
}

impl Running {
    fn start(worker: Worker<Tally>) -> Self {
        let drain = CancellationToken::new();
        let task = tokio::spawn(worker.run(drain.clone()));
        Self { drain, task }
    }

    async fn end(mut self) -> End {
        in_time("the worker's end", &mut self.task).await.unwrap()
    }

    async fn drain(self) {
        self.drain.cancel();
        assert!(matches!(self.end().await, End::Drained));
    }

    async fn drain_after(self, setup: &Setup, last: i64) {
        setup.handled(last).await;
        self.drain().await;
    }

    /// Ends it at once, like SIGKILL. Its lease expires.
    async fn kill(mut self) {
        self.task.abort();
        let ended = in_time("the worker's end", &mut self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it had already ended");
    }

    async fn stopped(self) -> StopReason {
        match self.end().await {
            End::Stopped(reason) => reason,
            End::Drained => panic!("it was not asked to end"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn components(health: &Health) -> String {
    format!("{:?}", health.report().components)
}

#[tokio::test]
async fn a_consumer_catches_up_and_goes_on_live() {
    let metrics = Telemetry::start("test", "warn").unwrap().metrics();
    let setup = Setup::new().await;
    let relay = setup.world.relay(quick()).await;
    setup.world.append(1_200).await;
    // It polls too seldom to be of use, so what comes later comes from the broker.
    let follower = FollowerSettings { poll_interval: LONG, ..quick_follower() };
    let health = Health::new();
    let worker =
        setup.worker_with(setup.tally(), LONG, &health, WorkerSettings { follower, ..settings() });
    let worker = Running::start(worker.live(setup.world.handle().await));
    setup.handled(1_200).await;
    for round in 1..=5 {
        setup.world.append(3).await;
        setup.handled(1_200 + 3 * round).await;
    }
    assert!(health.report().ready, "{}", components(&health));
    let tells = |line: &str| metrics.render().lines().any(|told| told == line);
    eventually("the figures are right", async || {
        tells("consumer_position{consumer=\"tally\"} 1215")
            && tells("consumer_lag_events{consumer=\"tally\"} 0")
    })
    .await;
    worker.drain().await;
    assert!(!tells("consumer_lag_events{consumer=\"tally\"} 0"), "another process may work now");
    relay.stop().await;
}

#[tokio::test]
async fn every_event_takes_effect_once_whenever_the_consumer_is_killed() {
    let setup = Setup::new().await;
    for at in [At::Begin, At::Commit] {
        let before = setup.world.append(40).await.0 - 40;
        let gate = Gate::closed(at);
        let worker = setup.run(setup.gated(&gate));
        gate.reached().await;
        worker.kill().await;
        assert_eq!(effects(setup.own.url()).await.len(), usize::try_from(before).unwrap());
        let next = setup.run(setup.tally());
        setup.handled(before + 40).await;
        next.drain().await;
    }
}

#[tokio::test]
async fn every_event_takes_effect_once_when_the_connection_ends_before_the_commit() {
    let setup = Setup::new().await;
    setup.world.append(40).await;
    let gate = Gate::closed(At::Commit);
    let tally = setup.gated(&gate);
    let seen = Arc::clone(&tally.seen);
    let worker = setup.run(tally);
    gate.reached().await;
    let mut admin = PgConnection::connect(setup.own.url()).await.unwrap();
    sqlx::query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    gate.open();
    setup.handled(40).await;
    assert_eq!(seen.calls().first(), Some(&(40, None)), "the first commit failed");
    worker.drain().await;
}

#[tokio::test]
async fn an_owner_that_hangs_is_replaced_and_can_commit_nothing_when_it_wakes() {
    let setup = Setup::new().await;
    setup.world.append(20).await;
    let (first, second) = (Gate::closed(At::Begin), Gate::closed(At::Begin));
    let slow = WorkerSettings { batch_limit: LONG, ..settings() };
    let tally = setup.gated(&first);
    let seen = Arc::clone(&tally.seen);
    let old = setup.worker_with(tally, SHORT, &Health::new(), slow.clone());
    let old = Running::start(old);
    first.reached().await;
    // The second one takes over, and is in its batch, too.
    let new = setup.worker_with(setup.gated(&second), SHORT, &Health::new(), slow);
    let new = Running::start(new);
    second.reached().await;
    first.open();
    eventually("the old owner has tried to commit", async || !seen.calls().is_empty()).await;
    assert_eq!(seen.calls(), [(20, Some(Committed::Fenced))]);
    assert!(effects(setup.own.url()).await.is_empty());
    second.open();
    setup.handled(20).await;
    new.drain().await;
    old.drain().await;
}

#[tokio::test]
async fn a_drained_consumer_gives_up_its_lease_at_once() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let first = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    setup.handled(5).await;
    let (health, second) = (Health::new(), setup.tally());
    let second = Running::start(setup.worker(second, LONG, &health));
    eventually("the second one stands by", async || health.report().ready).await;
    first.drain().await;
    setup.world.append(5).await;
    setup.handled(10).await;
    second.drain().await;
}

#[tokio::test]
async fn another_history_stops_a_consumer_with_a_reason() {
    let setup = Setup::new().await;
    setup.world.append(60).await;
    let first = setup.run(setup.tally());
    setup.handled(60).await;
    first.drain().await;
    let mut admin = PgConnection::connect(setup.world.database.url()).await.unwrap();
    let lose = "DELETE FROM event_store.tags WHERE position > 40; DELETE FROM event_store.events \
        WHERE position > 40";
    sqlx::raw_sql(lose).execute(&mut admin).await.unwrap();
    let health = Health::new();
    let store = open(setup.world.database.url()).await;
    let world = World { store, ..setup.world };
    let setup = Setup { world, ..setup };
    let stopped = Running::start(setup.worker(setup.tally(), LONG, &health)).stopped().await;
    assert!(
        matches!(&stopped, StopReason::OtherHistory { at, found: None, unknown: None }
            if at.position.0 == 60),
        "{stopped}"
    );
    assert!(components(&health).contains("at position 60"), "{}", components(&health));
    // Somebody decides that this log goes on: what the consumer handled beyond it is still wrong.
    begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let store = open(setup.world.database.url()).await;
    let setup = Setup { world: World { store, ..setup.world }, ..setup };
    // The lease was given up, so the next one need not wait for it.
    let stopped = Running::start(setup.worker(setup.tally(), LONG, &Health::new())).stopped().await;
    assert!(matches!(stopped, StopReason::Over(position) if position.0 == 60), "{stopped}");
}

#[tokio::test]
async fn a_new_epoch_of_the_log_moves_the_checkpoint_of_an_idle_consumer() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let worker = setup.run(setup.tally());
    setup.handled(5).await;
    let mut admin = PgConnection::connect(setup.world.database.url()).await.unwrap();
    let epoch = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    eventually("the checkpoint is in the new epoch", async || {
        checkpoint(setup.own.url()).await == (5, Some(epoch.0))
    })
    .await;
    assert_eq!(effects(setup.own.url()).await.len(), 5);
    worker.drain().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_or_is_refused_stops_a_consumer_after_those_before_it() {
    for case in ["unreadable", "refused"] {
        let setup = Setup::new().await;
        setup.world.append(3).await;
        let bad = match case {
            "unreadable" => NewEvent { schema_version: 9, ..event(&json!({})) },
            _ => event(&json!({ "please": "refuse me" })),
        };
        setup.world.append_events(vec![bad, event(&json!({}))]).await;
        let health = Health::new();
        let stopped = Running::start(setup.worker(setup.tally(), SHORT, &health)).stopped().await;
        let position = match &stopped {
            StopReason::Unreadable(unreadable) if case == "unreadable" => unreadable.position.0,
            StopReason::Refused(position, _) if case == "refused" => position.0,
            other => panic!("{case}: {other:?}"),
        };
        assert_eq!(position, 4);
        assert_eq!(effects(setup.own.url()).await, [1, 2, 3], "{case}");
        let shown = &health.report().components["tally"];
        assert!(shown.needs_action, "{}", components(&health));
        assert!(components(&health).contains("position 4"), "{}", components(&health));
    }
}

#[tokio::test]
async fn a_batch_that_takes_too_long_comes_again_in_smaller_pieces() {
    let setup = Setup::new().await;
    setup.world.append(32).await;
    let mut tally = setup.tally();
    tally.hangs_above = 10;
    let seen = Arc::clone(&tally.seen);
    let batch_limit = Duration::from_millis(500);
    let limited = WorkerSettings { batch: 32, batch_limit, ..settings() };
    let worker = setup.worker_with(tally, LONG, &Health::new(), limited);
    let worker = Running::start(worker);
    setup.handled(32).await;
    let sizes: Vec<usize> = seen.calls().iter().take(3).map(|(events, _)| *events).collect();
    assert_eq!(sizes, [32, 16, 8]);
    worker.drain().await;
}
