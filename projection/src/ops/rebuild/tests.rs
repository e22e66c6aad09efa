//! Rows that Postgres refuses during a build, on tables made for these tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use event_store::{
    Append, EventStore, ExpectedVersion, MemoryStore, Metadata, NewEvent, RecordedEvent, Registry,
    StreamAppend, StreamName, UpcastingLog,
};
use local_servers::TestDatabase;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::*;
use crate::ops::verify::Verifying;
use crate::ops::verify::restraint::Restraint;
use crate::projection::{AnyProjection, Incoming, Projection, Reason, Split, of};
use crate::{Runner, Standing, Watch};

/// The only event type.
const ADJUSTED: &str = "thing.adjusted";

/// A thing's level changes by `delta`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Adjusted {
    thing: Uuid,
    delta: i64,
}

/// The level of each thing: at most 100, and unique.
struct Levels;

crate::row! {
    #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
    struct Level in levels by (thing: Uuid) {
        level: i64,
    }
}

impl Projection for Levels {
    const NAME: &'static str = "levels";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE levels (thing uuid PRIMARY KEY,
        level bigint NOT NULL CONSTRAINT levels_once UNIQUE CONSTRAINT \
        levels_possible CHECK (level <= 100))";
    const INDEXES: &'static str = "";
    const SPLIT: Split = Split::ByKey(1);
    type Event = (Uuid, i64);
    type Key = Uuid;
    type Row = Level;

    fn handles() -> Vec<&'static str> {
        vec![ADJUSTED]
    }

    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>> {
        let read = serde_json::from_str::<Adjusted>(event.data.get());
        Some(read.map(|adjusted| (adjusted.thing, adjusted.delta)).map_err(Into::into))
    }

    fn keys((thing, _): &Self::Event) -> Vec<Uuid> {
        vec![*thing]
    }

    fn fold(
        key: &Uuid,
        row: Option<Level>,
        incoming: &Incoming<Self::Event>,
    ) -> Result<Level, Reason> {
        Ok(Level { thing: *key, level: row.map_or(0, |row| row.level) + incoming.event.1 })
    }
}

async fn append(store: &MemoryStore, thing: u128, delta: i64) {
    let thing = Uuid::from_u128(thing);
    let metadata = Metadata::new(thing);
    let event = Adjusted { thing, delta };
    let new = NewEvent::json(ADJUSTED.parse().unwrap(), 1, &event, metadata).unwrap();
    let stream = StreamName::new("thing", thing).unwrap();
    let streams = vec![StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![new] }];
    store.append(Append { streams, ..Append::default() }).await.unwrap();
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new([(ADJUSTED, 1)], []).unwrap())
}

async fn ask<T>(url: &str, statement: &'static str) -> Vec<T>
where
    T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(statement).fetch_all(&mut connection).await.unwrap()
}

/// The parked events of all generations.
const PARKED: &str =
    "SELECT generation, position, key, cause FROM read_model.parked ORDER BY generation, position";

async fn projects(store: &Arc<MemoryStore>, url: &str, projection: &Arc<dyn AnyProjection>) {
    let log = UpcastingLog::new(Arc::clone(store) as _, registry());
    let watch = Watch::new(&Health::new(), clock::system());
    let mut runner =
        Runner::new(log, url.parse().unwrap(), vec![Arc::clone(projection)], None, watch);
    let standings = runner.run_once().await.unwrap();
    assert!(matches!(standings[0].1, Standing::At(_)), "{standings:?}");
    runner.give_up().await;
}

struct World {
    database: TestDatabase,
    store: Arc<MemoryStore>,
    projection: Arc<dyn AnyProjection>,
}

impl World {
    async fn new() -> Self {
        let projection = of::<Levels>();
        let known = std::slice::from_ref(&projection);
        let fingerprint = generation::schema_fingerprint(known);
        let database = TestDatabase::create("levels_read_model", &fingerprint, async |url| {
            Ok(generation::migrate(&url.parse()?, known).await?)
        });
        let database = database.await;
        Self { database, store: Arc::new(MemoryStore::new()), projection }
    }

    /// Appends these events and projects them in one batch.
    async fn happens(&self, adjusted: &[(u128, i64)]) {
        for (thing, delta) in adjusted {
            append(&self.store, *thing, *delta).await;
        }
        projects(&self.store, self.database.url(), &self.projection).await;
    }

    async fn operations(&self) -> Operations {
        let log = UpcastingLog::new(Arc::clone(&self.store) as _, registry());
        Operations::new(self.database.url().parse().unwrap(), log, None).await.unwrap()
    }

    /// Builds a generation with a memory limit of `bytes` for rows, and compares it with the live
    /// one.
    async fn rebuild(&self, bytes: usize) -> Differences {
        let operations = self.operations().await;
        let source = operations.source(&self.projection);
        let begun =
            begin::begin(&operations, self.projection.as_ref(), How::default()).await.unwrap();
        let mut builder =
            Builder::take(&operations, &source, begun.generation, bytes, Pace::new(None))
                .await
                .unwrap()
                .unwrap();
        let head = builder.look_at_head().await.unwrap();
        builder.go_on(head, &Silent).await.unwrap();
        builder.finish_tables().await.unwrap();
        builder.retry_parked().await.unwrap();
        let mut connection = operations.connect().await.unwrap();
        let live = connection
            .run(async |raw: &mut PgConnection| generation::live(raw, "levels").await)
            .await
            .unwrap()
            .unwrap();
        let differences = compare(&mut builder, &live, true).await.unwrap().unwrap();
        builder.give_up().await.unwrap();
        differences
    }

    async fn verify(&self, bytes: usize) -> Differences {
        let operations = self.operations().await;
        let source = operations.source(&self.projection);
        let verifying = Verifying {
            only: Only::All,
            bytes,
            reveal: true,
            progress: &Silent,
            restraint: Restraint::none(),
        };
        let mut connection = operations.connect().await.unwrap();
        verifying.run(&source, &mut connection).await.unwrap().1
    }
}

type Parked = (i32, i64, String, Option<String>);

#[tokio::test]
async fn p7_a_row_that_another_row_is_in_the_way_of_is_parked_by_a_rebuild_as_it_is_live() {
    let world = World::new().await;
    // The smaller key comes second, so keys and events are sorted differently.
    world.happens(&[(9, 7), (3, 5), (1, 7), (1, 1), (4, 8), (5, 200)]).await;
    world.happens(&[(6, 7), (7, 40)]).await;
    let differences = world.rebuild(1 << 20).await;
    assert_eq!(differences.count(), 0, "{differences}");
    let differences = world.verify(1 << 20).await;
    assert_eq!(differences.count(), 0, "{differences}");
    let url = world.database.url();
    let parked: Vec<Parked> = ask(url, PARKED).await;
    let of = |generation| {
        parked
            .iter()
            .filter(move |row| row.0 == generation)
            .map(|row| (row.1, row.2.clone(), row.3.clone()))
    };
    assert_eq!(of(1).collect::<Vec<_>>(), of(2).collect::<Vec<_>>());
    let causes = of(1).map(|(position, _, cause)| {
        (position, cause.unwrap().rsplit_once(' ').unwrap().1.to_owned())
    });
    let expected = [(5, "levels_once"), (6, "levels_possible"), (7, "levels_once")];
    assert_eq!(
        causes.collect::<Vec<_>>(),
        expected.map(|(position, why)| (position, why.to_owned()))
    );
    let rows = "SELECT thing, level FROM levels_g2.levels ORDER BY level, thing";
    let built: Vec<Level> = ask(url, rows).await;
    let live: Vec<Level> =
        ask(url, "SELECT thing, level FROM levels_g1.levels ORDER BY level, thing").await;
    assert_eq!(built, live);
}

#[tokio::test]
async fn p7_an_impossible_row_that_becomes_possible_is_the_same_wherever_a_write_falls() {
    let world = World::new().await;
    // The first row is impossible in between. The others fill the memory there, and more than one
    // batch.
    let mut adjusted = vec![(1, 90), (1, 60)];
    adjusted.extend((10..170).map(|thing| (thing, i64::try_from(thing).unwrap() - 100)));
    adjusted.push((1, -70));
    world.happens(&adjusted).await;
    for bytes in [2_000, 1 << 20] {
        let differences = world.verify(bytes).await;
        assert_eq!(differences.count(), 0, "verify in {bytes}: {differences}");
    }
    let differences = world.rebuild(2_000).await;
    assert_eq!(differences.count(), 0, "{differences}");
    let left: Vec<Parked> = ask(world.database.url(), PARKED).await;
    assert_eq!(left, []);
    let built: Vec<(i64,)> =
        ask(world.database.url(), "SELECT level FROM levels_g2.levels WHERE level = 80").await;
    assert_eq!(built, [(80,)]);
}

#[tokio::test]
async fn p7_a_row_whose_way_is_free_at_the_end_of_a_batch_waits_for_no_other_try() {
    let world = World::new().await;
    world.happens(&[(9, 7)]).await;
    // The smaller key is saved first, and conflicts with the row that is about to change.
    world.happens(&[(3, 7), (9, -6)]).await;
    let left: Vec<Parked> = ask(world.database.url(), PARKED).await;
    assert_eq!(left, []);
    let differences = world.rebuild(1 << 20).await;
    assert_eq!(differences.count(), 0, "{differences}");
}

#[tokio::test]
async fn a_stale_row_says_whether_there_is_any() {
    let world = World::new().await;
    world.happens(&[(1, 50)]).await;
    world.happens(&[(1, 60), (2, 200), (2, 1)]).await;
    let stale = "SELECT right(key, 1), absent, since FROM read_model.stale ORDER BY key";
    let stale: Vec<(String, bool, i64)> = ask(world.database.url(), stale).await;
    assert_eq!(stale, [("1".to_owned(), false, 2), ("2".to_owned(), true, 3)]);
}
