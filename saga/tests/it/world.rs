//! The whole engine on a real Postgres: the log, the work tables, and processes in the test's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use event_feed::FollowerSettings;
use event_feed::consumer::{End, StopReason, WorkerSettings};
use event_store::postgres::{PostgresOptions, migrate, schema_fingerprint};
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, Metadata, NewEvent, Position,
    PostgresStore, RecordedEvent, Registry, StreamAppend, StreamName, UpcastingLog, Version,
};
use local_servers::{TestDatabase, in_time, until as eventually};
use saga::definition::Definition;
use saga::ops::Operations;
use saga::work::{WorkTable, schema};
use saga::{Begin, Driver, Runner, RunnerSettings, Sagas, id};
use serde_json::{Value, json};
use service_kit::clock::{self, SharedClock};
use service_kit::health::Health;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toy::{self, Gateway, Mood, Moods, NoPoints, Points, Toy};

/// The maximum number of events in an append of a test.
pub(crate) const PIECE: usize = 250;

/// A log with work tables, and a gateway.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) gateway: Gateway,
}

/// How the sagas of a process are.
pub(crate) struct Shape {
    pub(crate) names: Vec<&'static str>,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) moods: Moods,
    pub(crate) points: Arc<dyn Points>,
    pub(crate) begin: Begin,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            names: vec![toy::NAME],
            definitions: vec![toy::first_version(toy::PATIENT)],
            moods: Arc::new(|_, _| Mood::Well),
            points: Arc::new(NoPoints),
            begin: Begin::default(),
        }
    }
}

/// A runner in the test's own process.
pub(crate) struct Process {
    pub(crate) drain: CancellationToken,
    pub(crate) task: JoinHandle<End>,
    pub(crate) health: Health,
}

impl Process {
    pub(crate) async fn drain(self) {
        self.drain.cancel();
        let end = in_time("the end of the runner", self.task).await.unwrap();
        assert!(matches!(end, End::Drained), "{end:?}");
    }

    /// Drains it after its fold stopped at an event, and returns why.
    pub(crate) async fn stopped(self) -> StopReason {
        self.drain.cancel();
        match in_time("the end of the runner", self.task).await.unwrap() {
            End::Stopped(reason) => reason,
            End::Drained => panic!("its fold did not stop"),
        }
    }

    /// Waits until it ends by itself, and returns why.
    pub(crate) async fn stopped_by_itself(self) -> StopReason {
        match in_time("the end of the runner", self.task).await.unwrap() {
            End::Stopped(reason) => reason,
            End::Drained => panic!("nobody drained it"),
        }
    }

    /// Ends it at once, like SIGKILL.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let ended = in_time("the end of the runner", self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let fingerprint = format!("{} {}", schema_fingerprint(), schema().fingerprint());
        let database = TestDatabase::create("sagas", &fingerprint, |url| async move {
            migrate(&url).await?;
            Ok(schema().migrate(&url.parse()?).await?)
        })
        .await;
        let options = PostgresOptions::from_url(database.url())
            .unwrap()
            .application_name("saga test")
            .read_connections(4);
        let store = Arc::new(PostgresStore::connect(options).await.unwrap());
        Self { database, store, gateway: Gateway::default() }
    }

    pub(crate) fn sagas(&self, shape: Shape) -> Sagas {
        let toy = Toy {
            store: self.store.clone(),
            gateway: self.gateway.clone(),
            moods: shape.moods,
            points: shape.points,
            shelves: 16,
        };
        let saga = |name: &&'static str| {
            toy::saga(name, shape.definitions.clone(), toy.clone()).begins(shape.begin)
        };
        Sagas::new(shape.names.iter().map(saga)).unwrap()
    }

    pub(crate) fn log(&self) -> UpcastingLog {
        let registry = Arc::new(Registry::new(saga::event::shapes(), []).unwrap());
        UpcastingLog::new(self.store.clone(), registry)
    }

    pub(crate) fn start(&self, shape: Shape) -> Process {
        self.start_at(clock::system(), shape)
    }

    /// Starts a process with this clock.
    pub(crate) fn start_at(&self, clock: SharedClock, shape: Shape) -> Process {
        let health = Health::new();
        let runner = Runner::new(
            self.log(),
            self.sagas(shape),
            self.database.url().parse().unwrap(),
            (clock, health.clone()),
            settings(),
        );
        let drain = CancellationToken::new();
        let task = tokio::spawn(runner.run(drain.clone()));
        Process { drain, task, health }
    }

    /// Starts a process, and waits until it knows where its sagas begin.
    pub(crate) async fn started(&self, shape: Shape) -> Process {
        let process = self.start(shape);
        eventually("the process is ready", async || process.health.report().ready).await;
        process
    }

    pub(crate) fn operations(&self, shape: Shape) -> Operations {
        let driver = Driver::new(self.log(), self.sagas(shape), clock::system());
        Operations::new(driver, WorkTable::new(&self.database.url().parse().unwrap()))
    }

    pub(crate) async fn append(&self, what: &str, data: Vec<Value>) {
        self.append_version(what, 1, data).await;
    }

    pub(crate) async fn append_version(&self, what: &str, version: i32, data: Vec<Value>) {
        let events: Vec<NewEvent> = data
            .iter()
            .map(|data| {
                let metadata = Metadata::new(Uuid::now_v7());
                NewEvent::json(what.parse().unwrap(), version, data, metadata).unwrap()
            })
            .collect();
        for piece in events.chunks(PIECE) {
            let stream = StreamName::new("thing", Uuid::now_v7()).unwrap();
            let events = piece.to_vec();
            let append = StreamAppend { stream, expected: ExpectedVersion::Any, events };
            let append = Append { streams: vec![append], ..Append::default() };
            let outcome = self.store.append(append).await.unwrap();
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    }

    pub(crate) async fn wanted(&self, keys: &[String]) {
        self.append(toy::WANTED, keys.iter().map(|key| json!({ "key": key })).collect()).await;
    }

    /// The number of events of a type.
    pub(crate) async fn count(&self, what: &str) -> usize {
        let (filter, mut after) = (Filter::Types(vec![what.parse().unwrap()]), Position::START);
        let mut count = 0;
        loop {
            let page = self.store.read(&filter, after, 10_000).await.unwrap();
            let Some(last) = page.last() else { return count };
            (after, count) = (last.position, count + page.len());
        }
    }

    async fn events(&self, key: &str) -> Vec<RecordedEvent> {
        let stream = id::stream(id::of_instance(toy::NAME, key));
        self.store.read_stream(&stream, Version::NONE, 1_000).await.unwrap()
    }

    pub(crate) async fn timeline(&self, key: &str) -> Vec<String> {
        let events = self.events(key).await;
        let read = |event: &RecordedEvent| saga::event::read(event).unwrap().unwrap().to_string();
        events.iter().map(read).collect()
    }

    pub(crate) async fn ended(&self, count: usize) {
        eventually("the sagas have ended", async || {
            self.count("saga.completed").await + self.count("saga.compensated").await >= count
        })
        .await;
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// Runs statements on the work tables.
    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.connection().await).await.unwrap();
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql);
        number.fetch_one(&mut self.connection().await).await.unwrap()
    }

    pub(crate) async fn rows(&self) -> i64 {
        let rows = sqlx::query_scalar("SELECT count(*) FROM saga.work");
        rows.fetch_one(&mut self.connection().await).await.unwrap()
    }

    /// Waits until the work tables have no row, as after every end.
    pub(crate) async fn idle(&self) {
        eventually("no work is left", async || self.rows().await == 0).await;
    }

    /// Checks that each saga ended once, and with each effect once.
    pub(crate) async fn check(&self, keys: &[String]) {
        let effects: BTreeMap<String, toy::Effect> = self.gateway.effects();
        let (mut completed, mut compensated) = (0, 0);
        for key in keys {
            let timeline = self.timeline(key).await;
            let effect = effects.get(key).cloned().unwrap_or_default();
            let is_completed = timeline.last().is_some_and(|last| last == "completed");
            if is_completed {
                completed += 1;
                assert_eq!((effect.made, effect.undone), (1, 0), "{timeline:#?}");
            } else {
                compensated += 1;
                let is_compensated = timeline.last().unwrap().starts_with("compensated");
                assert!(is_compensated, "{timeline:#?}");
                assert!(effect.made <= 1 && effect.made == effect.undone, "{timeline:#?}");
            }
            assert!(self.gateway.keys(key) <= 1, "{timeline:#?}");
            let rounds = toy::rounds(&self.events(key).await) as usize;
            assert!(self.gateway.undo_keys(key) <= 1 + rounds, "refunded twice: {timeline:#?}");
        }
        assert_eq!(self.count("saga.started").await, keys.len());
        assert_eq!(self.count("shelf.noted").await, completed);
        let taken = self.count("shelf.taken").await - self.count("shelf.given_back").await;
        assert_eq!(taken, completed, "{completed} completed, {compensated} compensated");
    }
}

pub(crate) fn settings() -> RunnerSettings {
    RunnerSettings {
        poll: Duration::from_millis(50),
        lease: Duration::from_secs(2),
        worker: WorkerSettings {
            standby_interval: Duration::from_millis(100),
            follower: FollowerSettings {
                idle_report: Duration::from_millis(200),
                poll_interval: Duration::from_millis(20),
                ..FollowerSettings::default()
            },
            ..WorkerSettings::default()
        },
        ..RunnerSettings::default()
    }
}

pub(crate) fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

/// Stops a process at a point, once.
pub(crate) struct Stop {
    pub(crate) at: &'static str,
    pub(crate) armed: AtomicBool,
    pub(crate) reached: Semaphore,
}

impl Stop {
    pub(crate) fn at(at: &'static str) -> Arc<Self> {
        Arc::new(Self { at, armed: AtomicBool::new(true), reached: Semaphore::new(0) })
    }

    pub(crate) async fn reached(&self) {
        in_time("the process at its point", self.reached.acquire()).await.unwrap().forget();
    }
}

#[async_trait]
impl Points for Stop {
    async fn pass(&self, point: &'static str) {
        if point == self.at && self.armed.swap(false, Ordering::Relaxed) {
            self.reached.add_permits(1);
            std::future::pending::<()>().await;
        }
    }
}
