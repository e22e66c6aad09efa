//! Personal data on its way into the rows: revealed while there is a key, blanked when its subject
//! is erased.

use std::sync::Arc;

use domain::product::event::{ProductEvent, ProductRenamed};
use domain::user::event::{UserDeactivated, UserEvent};
use domain::value::ProductName;
use event_store::EncryptingStore;
use event_store::encryption::{MemoryKeys, SubjectKeyStore};
use event_store::erasure::{EraseRequest, erase};
use event_store::{Append, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamAppend};
use local_servers::test_run;
use projection::Standing;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::parked::of_a_stranger;
use crate::support::life::{Life, registered};
use crate::support::{
    append, ask, ask_about, contents, everything, happening, read_model, replayed_with, runner,
    tell, vault,
};

const ADA: Uuid = Uuid::from_u128(0xada);

/// A log with keys: what is appended through `encrypted` is encrypted in `log`.
pub(crate) struct World {
    pub(crate) log: Arc<dyn EventStore>,
    pub(crate) encrypted: EncryptingStore,
    pub(crate) keys: Arc<dyn SubjectKeyStore>,
}

impl World {
    pub(crate) fn new() -> Self {
        let (log, keys): (Arc<dyn EventStore>, Arc<dyn SubjectKeyStore>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryKeys::new()));
        let encrypted = EncryptingStore::new(Arc::clone(&log), vault(&keys));
        Self { log, encrypted, keys }
    }

    pub(crate) async fn erase(&self, subject: Uuid) {
        let request = EraseRequest { subject, by: "ops".to_owned() };
        erase(self.log.as_ref(), self.keys.as_ref(), &request).await.unwrap();
    }
}

#[tokio::test]
async fn p7_rows_erased_live_equal_rows_rebuilt() {
    let run = test_run();
    for round in 0..run.count(3, 60) {
        let seed = run.seed.wrapping_add(round);
        let (world, mut life, mut random) =
            (World::new(), Life::new(seed), StdRng::seed_from_u64(seed));
        let database = read_model().await;
        let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
        let mut erased = 0;
        for _ in 0..12 {
            // Only what is not refused because its user is erased takes place.
            for happening in life.goes_on(25) {
                append(&world.encrypted, vec![happening]).await;
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
        let named =
            rows["users"].as_array().unwrap().iter().filter(|user| !user["name"].is_null()).count();
        assert!(
            named > 0 && named <= rows["users"].as_array().unwrap().len() && erased > 0,
            "seed {seed}: both kinds are there"
        );
        assert_eq!(rows, replayed_with(Arc::clone(&world.log), &world.keys).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_user_loses_name_and_address_and_keeps_the_figures() {
    let world = World::new();
    append(&world.encrypted, vec![happening("user", ADA, &registered(ADA))]).await;
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    live.run_once().await.unwrap();
    assert_eq!(contents(database.url()).await["users"][0]["name"], "Ada");
    world.erase(ADA).await;
    live.run_once().await.unwrap();
    let rows = contents(database.url()).await;
    let row = &rows["users"][0];
    assert_eq!(
        (&row["name"], &row["email"], &row["status"]),
        (&Value::Null, &Value::Null, &json!("active"))
    );
    assert_eq!(
        (&row["version"], &row["position"]),
        (&json!(1), &json!(2)),
        "the row has changed, but its stream has not"
    );
    assert_eq!(rows["search"][0]["words"], Value::Null, "nobody finds the name any more");
}

#[tokio::test]
async fn i8_a_row_that_postgres_refuses_is_blanked_at_once_as_it_was_before() {
    let world = World::new();
    append(&world.encrypted, vec![happening("user", ADA, &registered(ADA))]).await;
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    live.run_once().await.unwrap();
    // Blanking does not make such a row possible, and the erasure is in the batch of the refusal.
    tell(database.url(), "ALTER TABLE users_g1.users ADD CONSTRAINT users_new CHECK (version < 2)")
        .await;
    let left = UserEvent::Deactivated(UserDeactivated { user_id: ADA });
    append(&world.encrypted, vec![happening("user", ADA, &left)]).await;
    world.erase(ADA).await;
    live.run_once().await.unwrap();
    let row = contents(database.url()).await["users"][0].clone();
    assert_eq!(
        (&row["name"], &row["email"], &row["status"]),
        (&Value::Null, &Value::Null, &json!("active"))
    );
    let parked: Vec<i64> =
        ask(database.url(), "SELECT array_agg(position ORDER BY position) FROM read_model.parked")
            .await;
    assert_eq!(parked, [2, 3], "the erasure has its turn behind the event that the row lacks");
    tell(database.url(), "ALTER TABLE users_g1.users DROP CONSTRAINT users_new").await;
    tell(
        database.url(),
        "INSERT INTO read_model.retry_requests SELECT projection, generation, \
        key FROM read_model.stale",
    )
    .await;
    live.run_once().await.unwrap();
    assert_eq!(ask::<i64>(database.url(), "SELECT count(*) FROM read_model.parked").await, 0);
    assert_eq!(
        contents(database.url()).await,
        replayed_with(Arc::clone(&world.log), &world.keys).await
    );
}

#[tokio::test]
async fn keys_that_are_away_stop_nothing_for_good_and_blank_nothing() {
    let world = World::new();
    append(&world.encrypted, vec![happening("user", ADA, &registered(ADA))]).await;
    let database = read_model().await;
    let unknown: Arc<dyn SubjectKeyStore> = Arc::new(MemoryKeys::new());
    let mut unlucky = runner(Arc::clone(&world.log), database.url()).revealing(vault(&unknown));
    let error = unlucky.run_once().await.unwrap_err();
    assert!(matches!(error, projection::runner::RunError::Keys(_)), "{error:?}");
    unlucky.give_up().await;
    assert_eq!(contents(database.url()).await["users"], json!([]));
    runner(Arc::clone(&world.log), database.url())
        .revealing(vault(&world.keys))
        .run_once()
        .await
        .unwrap();
    assert_eq!(contents(database.url()).await["users"][0]["name"], "Ada");
}

#[tokio::test]
async fn a_field_that_does_not_open_stops_who_reads_it_and_nobody_else() {
    let world = World::new();
    append(&world.encrypted, vec![happening("user", ADA, &registered(ADA))]).await;
    let encrypted = everything(world.log.as_ref()).await.remove(0);
    let moved = NewEvent {
        id: Uuid::now_v7(),
        event_type: encrypted.event_type,
        schema_version: encrypted.schema_version,
        data: encrypted.data,
        tags: encrypted.tags,
        metadata: encrypted.metadata,
    };
    let streams = vec![StreamAppend {
        stream: "user-x".parse().unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![moved],
    }];
    world.log.append(Append { streams, ..Append::default() }).await.unwrap();
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    let standings = live.run_once().await.unwrap();
    let stopped: Vec<_> = standings
        .iter()
        .filter(|(_, standing)| matches!(standing, Standing::Stopped(_)))
        .map(|(name, _)| *name)
        .collect();
    let all = projector::projections::all();
    let read_it = all.iter().filter(|projection| !projection.personal().is_empty());
    let read_it: Vec<&str> = read_it.map(|projection| projection.name()).collect();
    assert_eq!(stopped, read_it, "{standings:?}");
    assert_eq!(
        contents(database.url()).await["users"][0]["name"],
        "Ada",
        "it is right up to there"
    );
}

#[tokio::test]
async fn erasures_multiply_no_parked_events_that_are_not_their_subjects() {
    let world = World::new();
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    let strangers: Vec<Uuid> = (1..=30).map(Uuid::from_u128).collect();
    append(&world.encrypted, strangers.iter().copied().map(of_a_stranger).collect()).await;
    let renamed = |number: u128| {
        let product_id = Uuid::from_u128(number);
        let name = ProductName::parse("of nobody").unwrap();
        happening(
            "product",
            product_id,
            &ProductEvent::Renamed(ProductRenamed { product_id, name }),
        )
    };
    append(&world.encrypted, (1_000..1_400).map(renamed).collect()).await;
    live.run_once().await.unwrap();
    for subject in 21..=45 {
        world.erase(Uuid::from_u128(subject)).await;
    }
    let standings = live.run_once().await.unwrap();
    let head = world.log.head().await.unwrap().mark;
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    let parked = "SELECT count(*) FROM read_model.parked WHERE projection = $1";
    assert_eq!(ask_about::<i64>(database.url(), parked, "products").await, 400);
    assert_eq!(
        ask_about::<i64>(database.url(), parked, "users").await,
        30 + 10,
        "ten of the thirty are erased"
    );
    let passed = "SELECT ignored FROM read_model.checkpoints WHERE projection = $1";
    assert_eq!(
        ask_about::<i64>(database.url(), passed, "products").await,
        30 + 25,
        "it has nothing to do with erasures"
    );
}

#[tokio::test]
async fn p7_an_erasure_takes_its_turn_behind_the_events_that_its_row_lacks() {
    let world = World::new();
    let database = read_model().await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    append(&world.encrypted, vec![of_a_stranger(ADA), happening("user", ADA, &registered(ADA))])
        .await;
    live.run_once().await.unwrap();
    world.erase(ADA).await;
    live.run_once().await.unwrap();
    let held = "SELECT string_agg(format('%s:%s', position, cause IS NULL), ' ' ORDER BY position)
                FROM read_model.parked WHERE projection = 'users'";
    assert_eq!(
        ask::<String>(database.url(), held).await,
        "1:f 2:t 3:t",
        "refused, held back, held back"
    );
    tell(
        database.url(),
        "WITH skipped AS (
             INSERT INTO read_model.skips (projection, position, key, event_id, event_type, \
             skipped_by, reason)
             SELECT projection, position, key, event_id, event_type, 'ops', 'of a stranger' FROM \
             read_model.parked
             WHERE projection = 'users' AND position = 1 RETURNING key)
         INSERT INTO read_model.retry_requests (projection, generation, key) SELECT 'users', 1, \
         key FROM skipped",
    )
    .await;
    live.run_once().await.unwrap();
    assert_eq!(
        ask::<i64>(
            database.url(),
            "SELECT count(*) FROM read_model.parked WHERE projection = 'users'"
        )
        .await,
        0
    );
    let row = &contents(database.url()).await["users"][0];
    assert_eq!(
        (&row["name"], &row["email"], &row["version"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    assert_eq!(row["position"], json!(3), "the erasure changed it last, as it does in a rebuild");
}
