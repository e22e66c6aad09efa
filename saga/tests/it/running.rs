//! The whole engine on a real Postgres: the log, the work tables, one or two processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use event_feed::FollowerSettings;
use event_feed::consumer::{End, WorkerSettings};
use event_store::postgres::{PostgresOptions, migrate, schema_fingerprint};
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, Metadata, NewEvent, Position,
    PostgresStore, RecordedEvent, Registry, StreamAppend, StreamName, UpcastingLog, Version,
};
use local_servers::{TestDatabase, in_time, until as eventually};
use saga::definition::Definition;
use saga::instance::{Decision, Status};
use saga::ops::Operations;
use saga::work::{Listing, WorkTable, schema};
use saga::{Driver, Runner, RunnerSettings, Sagas, id};
use serde_json::{Value, json};
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toy::{self, Gateway, Mood, Moods, NoPoints, Points, Toy};

/// Appends of tests are sent in pieces of this size.
const PIECE: usize = 250;

/// A log with work tables, and a gateway.
struct World {
    database: TestDatabase,
    store: Arc<PostgresStore>,
    gateway: Gateway,
}

/// How the sagas of a process are.
struct Shape {
    definitions: Vec<Definition>,
    moods: Moods,
    points: Arc<dyn Points>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            definitions: vec![toy::first_version(toy::PATIENT)],
            moods: Arc::new(|_, _| Mood::Well),
            points: Arc::new(NoPoints),
        }
    }
}

/// A process in the test's own.
struct Process {
    drain: CancellationToken,
    task: JoinHandle<End>,
    health: Health,
}

impl Process {
    async fn drain(self) {
        self.drain.cancel();
        let end = in_time("the end of the runner", self.task).await.unwrap();
        assert!(matches!(end, End::Drained), "{end:?}");
    }

    /// Ends it at once, like SIGKILL.
    async fn kill(self) {
        self.task.abort();
        let ended = in_time("the end of the runner", self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

impl World {
    async fn new() -> Self {
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

    fn sagas(&self, shape: Shape) -> Sagas {
        let toy = Toy {
            store: self.store.clone(),
            gateway: self.gateway.clone(),
            moods: shape.moods,
            points: shape.points,
            shelves: 16,
        };
        Sagas::new([toy::saga(shape.definitions, toy)]).unwrap()
    }

    fn log(&self) -> UpcastingLog {
        let registry = Arc::new(Registry::new(saga::event::shapes(), []).unwrap());
        UpcastingLog::new(self.store.clone(), registry)
    }

    fn start(&self, shape: Shape) -> Process {
        let health = Health::new();
        let runner = Runner::new(
            self.log(),
            self.sagas(shape),
            self.database.url().parse().unwrap(),
            (clock::system(), health.clone()),
            settings(),
        );
        let drain = CancellationToken::new();
        let task = tokio::spawn(runner.run(drain.clone()));
        Process { drain, task, health }
    }

    /// Starts a process, and waits until it knows where its sagas begin.
    async fn started(&self, shape: Shape) -> Process {
        let process = self.start(shape);
        eventually("the process is ready", async || process.health.report().ready).await;
        process
    }

    fn operations(&self, shape: Shape) -> Operations {
        let driver = Driver::new(self.log(), self.sagas(shape), clock::system());
        Operations::new(driver, WorkTable::new(&self.database.url().parse().unwrap()))
    }

    async fn append(&self, what: &str, data: Vec<Value>) {
        let events: Vec<NewEvent> = data
            .iter()
            .map(|data| {
                let metadata = Metadata::new(Uuid::now_v7());
                NewEvent::json(what.parse().unwrap(), 1, data, metadata).unwrap()
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

    async fn wanted(&self, keys: &[String]) {
        self.append(toy::WANTED, keys.iter().map(|key| json!({ "key": key })).collect()).await;
    }

    /// The number of events of a type.
    async fn count(&self, what: &str) -> usize {
        let (filter, mut after) = (Filter::Types(vec![what.parse().unwrap()]), Position::START);
        let mut count = 0;
        loop {
            let page = self.store.read(&filter, after, 10_000).await.unwrap();
            let Some(last) = page.last() else { return count };
            (after, count) = (last.position, count + page.len());
        }
    }

    async fn timeline(&self, key: &str) -> Vec<String> {
        let stream = id::stream(id::of_instance(toy::NAME, key));
        let events = self.store.read_stream(&stream, Version::NONE, 1_000).await.unwrap();
        let read = |event: &RecordedEvent| saga::event::read(event).unwrap().unwrap().to_string();
        events.iter().map(read).collect()
    }

    async fn ended(&self, count: usize) {
        eventually("the sagas have ended", async || {
            self.count("saga.completed").await + self.count("saga.compensated").await >= count
        })
        .await;
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    async fn rows(&self) -> i64 {
        let rows = sqlx::query_scalar("SELECT count(*) FROM saga.work");
        rows.fetch_one(&mut self.connection().await).await.unwrap()
    }

    /// Waits until the work tables have no row, as after every end.
    async fn idle(&self) {
        eventually("no work is left", async || self.rows().await == 0).await;
    }

    /// Checks that each saga ended once, and with each effect once.
    async fn check(&self, keys: &[String]) {
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
        }
        assert_eq!(self.count("saga.started").await, keys.len());
        assert_eq!(self.count("shelf.noted").await, completed);
        let taken = self.count("shelf.taken").await - self.count("shelf.given_back").await;
        assert_eq!(taken, completed, "{completed} completed, {compensated} compensated");
    }
}

fn settings() -> RunnerSettings {
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

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

/// Stops a process at a point, once.
struct Stop {
    at: &'static str,
    armed: AtomicBool,
    reached: Semaphore,
}

impl Stop {
    fn at(at: &'static str) -> Arc<Self> {
        Arc::new(Self { at, armed: AtomicBool::new(true), reached: Semaphore::new(0) })
    }

    async fn reached(&self) {
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

#[tokio::test]
async fn a_saga_runs_to_its_end_in_one_append_per_step() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    world.wanted(&["a".into()]).await;
    world.ended(1).await;
    world.check(&["a".into()]).await;
    let expected = [
        "started taking v1 a",
        "step_requested take #1",
        "step_succeeded take #1",
        "step_requested ask #1",
        "step_succeeded ask #1",
        "step_requested note #1",
        "step_succeeded note #1",
        "completed",
    ];
    assert_eq!(world.timeline("a").await, expected);
    // The shelf's events are in the appends of the steps: `take` with the request of `ask`, and
    // `ask` and `note` with the end. Appends share a time only by chance, so positions tell.
    let all = world.store.read(&Filter::All, Position::START, 100).await.unwrap();
    let types: Vec<&str> = all.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(
        types,
        [
            "saga_deployment.deployed",
            "thing.wanted",
            "saga.started",
            "saga.step_requested",
            "saga.step_succeeded",
            "saga.step_requested",
            "shelf.taken",
            "saga.step_succeeded",
            "saga.step_requested",
            "saga.step_succeeded",
            "saga.completed",
            "shelf.noted",
        ]
    );
    let cause = &all[1];
    assert!(all[2..].iter().all(|event| {
        event.metadata.correlation_id == cause.metadata.correlation_id
            && event.metadata.causation_id == Some(cause.id)
    }));
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn a_refused_call_undoes_the_saga_and_people_see_it_while_it_is_parked() {
    let world = World::new().await;
    let away = Arc::new(AtomicBool::new(true));
    let moods = |away: &Arc<AtomicBool>| -> Moods {
        let away = Arc::clone(away);
        Arc::new(move |call, part| match (call.key.as_str(), part) {
            ("parked", saga::instance::Part::Action) => Mood::LosesAnswer,
            ("parked", _) if away.load(Ordering::Relaxed) => Mood::Fails,
            ("parked", _) => Mood::Well,
            _ => Mood::Rejects,
        })
    };
    let shape = || Shape { moods: moods(&away), ..Shape::default() };
    let process = world.started(shape()).await;
    world.wanted(&["refused".into(), "parked".into()]).await;
    world.ended(1).await;
    let timeline = world.timeline("refused").await;
    assert_eq!(timeline.last().unwrap(), "compensated: ask failed: refused", "{timeline:#?}");
    let operations = world.operations(shape());
    let listing = Listing { status: Some("parked".into()), limit: 10, ..Listing::default() };
    eventually("it is parked", async || operations.list(&listing).await.unwrap().len() == 1).await;
    let stuck = operations.stuck(Duration::ZERO, listing).await.unwrap();
    let parked = &stuck[0];
    assert_eq!((parked.key.as_str(), parked.due_at), ("parked", None));
    assert!(parked.reason.as_deref().unwrap().contains("the compensation of ask failed"));
    let shown = operations.show(parked.id).await.unwrap().unwrap();
    assert_eq!(shown.instance.status, Status::Parked);
    assert!(operations.show(Uuid::nil()).await.unwrap().is_none());
    away.store(false, Ordering::Relaxed);
    operations.decide(parked.id, Decision::Resume, "somebody").await.unwrap();
    world.ended(2).await;
    world.check(&["refused".into(), "parked".into()]).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn an_answer_in_the_log_ends_a_pending_step_and_a_late_one_is_undone() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|_, part| match part {
        saga::instance::Part::Action => Mood::Later,
        saga::instance::Part::Compensation => Mood::Well,
    });
    let process = world.started(Shape { moods, ..Shape::default() }).await;
    world.wanted(&["in time".into(), "too late".into()]).await;
    eventually("both wait", async || world.count("saga.step_pending").await == 2).await;
    assert!(world.gateway.does_later("in time"));
    let answer = |key: &str| json!({ "key": key, "done": true });
    world.append(toy::ANSWERED, vec![answer("in time"), answer("in time")]).await;
    world.ended(1).await;
    world.append(toy::UNWANTED, vec![json!({ "key": "too late" })]).await;
    world.ended(2).await;
    world.idle().await;
    assert!(world.gateway.does_later("too late"));
    world.append(toy::ANSWERED, vec![answer("too late")]).await;
    world.ended(3).await;
    world.idle().await;
    world.check(&["in time".into(), "too late".into()]).await;
    process.drain().await;
}

#[tokio::test]
async fn a_process_killed_at_any_point_repeats_no_effect() {
    for point in
        ["inside", "before the call", "after the call", "before the undoing", "after the undoing"]
    {
        let world = World::new().await;
        let moods = || -> Moods {
            let refuses_undone = point.ends_with("undoing");
            Arc::new(move |_, part| match part {
                saga::instance::Part::Action if refuses_undone => Mood::LosesAnswer,
                _ => Mood::Well,
            })
        };
        let stop = Stop::at(point);
        let shape = Shape { moods: moods(), points: stop.clone(), ..Shape::default() };
        let process = world.started(shape).await;
        world.wanted(&["a".into()]).await;
        stop.reached().await;
        process.kill().await;
        let process = world.started(Shape { moods: moods(), ..Shape::default() }).await;
        world.ended(1).await;
        world.check(&["a".into()]).await;
        world.idle().await;
        process.drain().await;
    }
}

#[tokio::test]
async fn without_its_tables_the_engine_folds_the_log_again_and_repeats_nothing() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|call, part| match (call.key.as_str(), part) {
        ("k0", saga::instance::Part::Action) => Mood::Later,
        _ => Mood::Well,
    });
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let process = world.started(shape()).await;
    let keys = keys(60);
    world.wanted(&keys).await;
    world.ended(59).await;
    eventually("one waits", async || world.count("saga.step_pending").await == 1).await;
    process.drain().await;
    let calls = world.gateway.calls();
    let tables = "TRUNCATE saga.checkpoints, saga.work, saga.signals, saga.drivers";
    sqlx::raw_sql(tables).execute(&mut world.connection().await).await.unwrap();
    let process = world.started(shape()).await;
    eventually("only the one that waits is left", async || world.rows().await == 1).await;
    assert_eq!(world.gateway.calls(), calls, "a call was repeated");
    assert!(world.gateway.does_later("k0"));
    world.append(toy::ANSWERED, vec![json!({ "key": "k0", "done": true })]).await;
    world.ended(60).await;
    world.check(&keys).await;
    assert_eq!(world.gateway.calls(), calls);
    process.drain().await;
}

#[tokio::test]
async fn events_before_the_first_deployment_and_imported_ones_start_nothing() {
    let world = World::new().await;
    world.wanted(&["before".into()]).await;
    let process = world.started(Shape::default()).await;
    let imported = json!({ "key": "imported", "imported": true });
    world.append(toy::WANTED, vec![imported, json!({ "key": "after" })]).await;
    world.ended(1).await;
    process.drain().await;
    // A later start begins at the same place.
    let tables = "TRUNCATE saga.checkpoints, saga.work";
    sqlx::raw_sql(tables).execute(&mut world.connection().await).await.unwrap();
    let process = world.started(Shape::default()).await;
    world.wanted(&["later".into()]).await;
    world.ended(2).await;
    world.check(&["after".into(), "later".into()]).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn two_processes_share_the_work_and_one_takes_over_when_the_other_dies() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|call, part| match (call.attempt, part) {
        (1, saga::instance::Part::Action) if call.key.ends_with('3') => Mood::LosesAnswer,
        (_, saga::instance::Part::Action) if call.key.ends_with('7') => Mood::Rejects,
        _ => Mood::Well,
    });
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let one = world.started(shape()).await;
    let two = world.started(shape()).await;
    let keys = keys(300);
    world.wanted(&keys[..150]).await;
    world.ended(20).await;
    one.kill().await;
    world.wanted(&keys[150..]).await;
    world.ended(300).await;
    world.check(&keys).await;
    world.idle().await;
    two.drain().await;
}

#[tokio::test]
async fn a_thousand_instances_keep_their_steps_while_the_definition_changes() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|_, part| match part {
        saga::instance::Part::Action => Mood::Later,
        saga::instance::Part::Compensation => Mood::Well,
    });
    let with = |definitions: Vec<Definition>| Shape {
        definitions,
        moods: Arc::clone(&moods),
        ..Shape::default()
    };
    let process = world.started(with(vec![toy::first_version(toy::PATIENT)])).await;
    let keys = keys(1_000);
    world.wanted(&keys).await;
    eventually("all wait", async || world.count("saga.step_pending").await == 1_000).await;
    process.drain().await;
    let both = vec![toy::first_version(toy::PATIENT), toy::second_version()];
    let process = world.started(with(both)).await;
    world.wanted(&["new".into()]).await;
    eventually("the new one waits", async || world.count("saga.step_pending").await == 1_001).await;
    let mut all = keys.clone();
    all.push("new".into());
    for key in &all {
        assert!(world.gateway.does_later(key));
    }
    let answers = all.iter().map(|key| json!({ "key": key, "done": true })).collect();
    world.append(toy::ANSWERED, answers).await;
    world.ended(1_001).await;
    world.check(&all).await;
    assert_eq!(world.timeline("k0").await[0], "started taking v1 k0");
    assert_eq!(world.timeline("new").await[0], "started taking v2 new");
    world.idle().await;
    process.drain().await;
}
