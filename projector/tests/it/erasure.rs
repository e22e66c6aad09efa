//! Personal data on its way into the rows: revealed while there is a key, blanked when its subject is erased.

use std::sync::Arc;

use event_store::erasure::{EraseRequest, MemoryKeys, SealedStore, SubjectKeyStore, erase};
use event_store::{Append, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamAppend};
use local_servers::test_run;
use projector::Standing;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::life::{Life, registered};
use crate::support::{append, contents, everything, happening, read_model, refolded_with, runner, vault};

const ADA: Uuid = Uuid::from_u128(0xada);

/// A log with keys: what is appended through `sealed` is sealed in `log`.
struct World {
    log: Arc<dyn EventStore>,
    sealed: SealedStore,
    keys: Arc<dyn SubjectKeyStore>,
}

impl World {
    fn new() -> Self {
        let (log, keys): (Arc<dyn EventStore>, Arc<dyn SubjectKeyStore>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryKeys::new()));
        let sealed = SealedStore::new(Arc::clone(&log), vault(&keys));
        Self { log, sealed, keys }
    }

    async fn erase(&self, subject: Uuid) {
        let request = EraseRequest { subject, by: "ops".to_owned() };
        erase(self.log.as_ref(), self.keys.as_ref(), &request).await.unwrap();
    }
}

#[tokio::test]
async fn p7_rows_erased_live_equal_rows_rebuilt() {
    let run = test_run();
    for round in 0..run.count(3, 60) {
        let seed = run.seed.wrapping_add(round);
        let (world, mut life, mut random) = (World::new(), Life::new(seed), StdRng::seed_from_u64(seed));
        let database = read_model().await;
        let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
        let mut erased = 0;
        for _ in 0..12 {
            // Only what is not refused because its user is erased takes place.
            for happening in life.goes_on(25) {
                append(&world.sealed, vec![happening]).await;
            }
            if random.random_ratio(2, 3) {
                live.run_once().await.unwrap();
            }
            if random.random_ratio(1, 2) {
                let rows = contents(database.url()).await;
                let users = rows["users"].as_array().unwrap();
                if let Some(user) = users.get(random.random_range(0..users.len().max(1))) {
                    world.erase(user["id"].as_str().unwrap().parse().unwrap()).await;
                    erased += 1;
                }
            }
        }
        live.run_once().await.unwrap();
        let rows = contents(database.url()).await;
        let named = rows["users"].as_array().unwrap().iter().filter(|user| !user["name"].is_null()).count();
        assert!(named > 0 && named <= rows["users"].as_array().unwrap().len() && erased > 0, "seed {seed}: both kinds are there");
        assert_eq!(rows, refolded_with(Arc::clone(&world.log), &world.keys).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_user_loses_name_and_address_and_keeps_the_figures() {
    let world = World::new();
    append(&world.sealed, vec![happening("user", ADA, &registered(ADA))]).await;
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    live.run_once().await.unwrap();
    assert_eq!(contents(database.url()).await["users"][0]["name"], "Ada");
    world.erase(ADA).await;
    live.run_once().await.unwrap();
    let row = &contents(database.url()).await["users"][0];
    assert_eq!((&row["name"], &row["email"], &row["status"]), (&Value::Null, &Value::Null, &json!("active")));
    assert_eq!((&row["version"], &row["position"]), (&json!(1), &json!(2)), "the row has changed, its stream has not");
}

#[tokio::test]
async fn keys_that_are_away_stop_nothing_for_good_and_blank_nothing() {
    let world = World::new();
    append(&world.sealed, vec![happening("user", ADA, &registered(ADA))]).await;
    let database = read_model().await;
    let unknown: Arc<dyn SubjectKeyStore> = Arc::new(MemoryKeys::new());
    let mut unlucky = runner(Arc::clone(&world.log), database.url()).revealing(vault(&unknown));
    let error = unlucky.run_once().await.unwrap_err();
    assert!(matches!(error, projector::runner::RunError::Keys(_)), "{error:?}");
    unlucky.give_up().await;
    assert_eq!(contents(database.url()).await["users"], json!([]));
    runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys)).run_once().await.unwrap();
    assert_eq!(contents(database.url()).await["users"][0]["name"], "Ada");
}

#[tokio::test]
async fn a_field_that_does_not_open_stops_who_reads_it_and_nobody_else() {
    let world = World::new();
    append(&world.sealed, vec![happening("user", ADA, &registered(ADA))]).await;
    let sealed = everything(world.log.as_ref()).await.remove(0);
    let moved = NewEvent {
        id: Uuid::now_v7(),
        event_type: sealed.event_type,
        schema_version: sealed.schema_version,
        data: sealed.data,
        tags: sealed.tags,
        metadata: sealed.metadata,
    };
    let streams = vec![StreamAppend { stream: "user-x".parse().unwrap(), expected: ExpectedVersion::Any, events: vec![moved] }];
    world.log.append(Append { streams, ..Append::default() }).await.unwrap();
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    let standings = live.run_once().await.unwrap();
    let stopped: Vec<_> =
        standings.iter().filter(|(_, standing)| matches!(standing, Standing::Stopped(_))).map(|(name, _)| *name).collect();
    assert_eq!(stopped, ["users"], "{standings:?}");
    assert_eq!(contents(database.url()).await["users"][0]["name"], "Ada", "up to there it is right");
}
