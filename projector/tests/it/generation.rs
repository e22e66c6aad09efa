//! The schema: made once however often and by however many it is asked for, and refused when it is
//! another.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::{EventStore, EventType, MemoryStore, RecordedEvent, Registry};
use local_servers::TestDatabase;
use postgres_kit::SchemaError::{Changed, Newer, Older};
use projection::generation;
use projection::generation::SchemaError::Migrations;
use projection::{AnyProjection, AnyRows, Only, Partitions, Prepared, RowMisfit, Split, of};
use projection::{Runner, Standing};
use sqlx::{Connection, PgConnection};

use crate::support::ledger::Tally;
use crate::support::life::Life;
use crate::support::process::{Process, command, finished};
use crate::support::{
    append, ask, contents, log, postgres_store, read_model, replayed, tell, until, watch,
    whole_database,
};

async fn empty_database() -> TestDatabase {
    TestDatabase::create("projector_empty", "1", |_| async { Ok(()) }).await
}

#[tokio::test]
async fn migrating_twice_and_at_once_makes_one_generation_of_each_projection() {
    let database = empty_database().await;
    let at_once: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { projector::migrate(&url).await })
        })
        .collect();
    for task in at_once {
        task.await.unwrap().unwrap();
    }
    projector::migrate(database.url()).await.unwrap();
    let generations: i64 = ask(
        database.url(),
        "SELECT count(*) FROM read_model.generations WHERE live AND generation = 1",
    )
    .await;
    let views: i64 = ask(
        database.url(),
        "SELECT count(*) FROM pg_views JOIN read_model.generations ON projection = viewname
             WHERE schemaname = 'read_model'",
    )
    .await;
    let known = i64::try_from(projector::projections::all().len()).unwrap();
    assert_eq!((generations, views), (known, known));
}

#[tokio::test]
async fn a_schema_that_this_program_does_not_know_is_refused_with_the_command_to_run() {
    let database = empty_database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let missing = generation::check(&mut connection).await.unwrap_err();
    assert!(missing.to_string().contains("`projector migrate`"), "{missing}");
    projector::migrate(database.url()).await.unwrap();
    generation::check(&mut connection).await.unwrap();

    tell(
        database.url(),
        "UPDATE read_model._sqlx_migrations SET version = 20991231000000 WHERE \
        version = (SELECT max(version) FROM read_model._sqlx_migrations)",
    )
    .await;
    let newer = generation::check(&mut connection).await;
    let Err(Migrations(Newer { migration: 20_991_231_000_000, .. })) = newer else {
        panic!("{newer:?}")
    };
    tell(database.url(), "DELETE FROM read_model._sqlx_migrations WHERE version = 20991231000000")
        .await;
    assert!(matches!(generation::check(&mut connection).await, Err(Migrations(Older { .. }))));
    tell(database.url(), "UPDATE read_model._sqlx_migrations SET checksum = '\\x00'").await;
    assert!(matches!(generation::check(&mut connection).await, Err(Migrations(Changed { .. }))));
}

#[tokio::test]
async fn the_process_refuses_such_a_schema_and_exits_with_3() {
    let database = empty_database().await;
    let output =
        finished(command(database.url()).args(["run", "--admin-listen", "127.0.0.1:0"])).await;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("projector migrate"), "{said}");
}

#[tokio::test]
async fn the_command_line_tells_wrong_usage_from_failure() {
    let database = read_model().await;
    let code = async |arguments: &[&str]| {
        finished(command(database.url()).args(arguments)).await.status.code()
    };
    assert_eq!(code(&["migrate"]).await, Some(0));
    assert_eq!(code(&["status", "--json"]).await, Some(0));
    assert_eq!(code(&["start-over", "no_such_projection", "--yes"]).await, Some(2));
    assert_eq!(
        code(&["run", "--admin-listen", "0.0.0.0:9083"]).await,
        Some(2),
        "others can reach it"
    );
    assert_eq!(code(&["frobnicate"]).await, Some(2));
}

/// A projection with another index.
struct Reindexed(Arc<dyn AnyProjection>);

#[async_trait]
impl AnyProjection for Reindexed {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn fold_version(&self) -> i32 {
        self.0.fold_version()
    }
    fn tables(&self) -> &'static str {
        self.0.tables()
    }
    fn triggers(&self) -> &'static str {
        self.0.triggers()
    }
    fn indexes(&self) -> &'static str {
        "CREATE INDEX ON tally (events);"
    }
    fn personal(&self) -> &'static [&'static str] {
        self.0.personal()
    }
    fn commutes(&self) -> bool {
        self.0.commutes()
    }

    fn has_history(&self) -> bool {
        self.0.has_history()
    }
    fn split(&self) -> Split {
        self.0.split()
    }
    fn handles(&self) -> Vec<&'static str> {
        self.0.handles()
    }
    fn reads(&self, registry: &Registry) -> Vec<EventType> {
        self.0.reads(registry)
    }
    fn prepare(
        &self,
        registry: &Registry,
        events: &[RecordedEvent],
        partitions: Partitions,
    ) -> Prepared {
        self.0.prepare(registry, events, partitions)
    }
    fn key(&self, text: &str) -> Option<String> {
        self.0.key(text)
    }
    fn rows(&self, only: Only, bytes: usize) -> Box<dyn AnyRows> {
        self.0.rows(only, bytes)
    }
    async fn check_row(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Result<(), RowMisfit>> {
        self.0.check_row(connection).await
    }
}

#[tokio::test]
async fn a_change_of_only_an_index_is_noticed_and_says_what_to_run() {
    let database = read_model().await;
    let (tally, options) = (of::<Tally>(), database.url().parse().unwrap());
    generation::migrate(&options, std::slice::from_ref(&tally)).await.unwrap();
    let standing = async |projection: Arc<dyn AnyProjection>| {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let mut runner = Runner::new(log(store), options.clone(), vec![projection], None, watch());
        let standings = runner.run_once().await.unwrap();
        runner.give_up().await;
        standings.into_iter().next().unwrap().1
    };
    let Standing::Stopped(reason) = standing(Arc::new(Reindexed(Arc::clone(&tally)))).await else {
        panic!("not noticed")
    };
    assert!(
        reason.contains("tables or indexes") && reason.contains("`projector rebuild tally`"),
        "{reason}"
    );
    assert!(matches!(standing(tally).await, Standing::At(_)), "the program that made it goes on");
}

#[tokio::test]
async fn starting_over_makes_the_next_generation_live_and_leaves_nothing_of_the_old() {
    let database = read_model().await;
    let output = finished(command(database.url()).args(["start-over", "users", "--yes"])).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let live: i32 = ask(
        database.url(),
        "SELECT generation FROM read_model.generations WHERE projection = 'users'",
    )
    .await;
    let old: i64 =
        ask(database.url(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'users_g1'").await;
    assert_eq!((live, old), (2, 0));
    let reader = database.url_in_group("read_model_reader").await;
    assert_eq!(
        ask::<i64>(&reader, "SELECT count(*) FROM read_model.users").await,
        0,
        "the reader sees the new one"
    );
}

#[tokio::test]
async fn a_running_projector_fills_the_generation_that_starting_over_made() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let mut life = Life::new(81);
    append(store.as_ref(), life.goes_on(100)).await;
    let mut process = Process::start(database.url());
    crate::support::until_all_at(database.url(), 100).await;
    for _ in 0..2 {
        let output = finished(command(database.url()).args(["start-over", "users", "--yes"])).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        append(store.as_ref(), life.goes_on(50)).await;
    }
    until("the new generation to be full", || async {
        ask::<i64>(database.url(), "SELECT min(position) FROM read_model.checkpoints").await == 200
    })
    .await;
    assert!(process.is_running());
    let generation: i32 = ask(
        database.url(),
        "SELECT generation FROM read_model.checkpoints WHERE projection = 'users'",
    )
    .await;
    assert_eq!(generation, 3);
    assert_eq!(contents(database.url()).await, replayed(store).await);
}
