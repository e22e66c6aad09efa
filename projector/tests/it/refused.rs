//! Panics in a projection's own code, and rows that Postgres does not take: each hurts the row that
//! it is about, or stops its partition at an event that is named; never the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::order::event::{OrderConfirmed, OrderEvent};
use domain::product::event::{ProductEvent, ProductStockAdjusted};
use event_store::registry::Upcast;
use event_store::{MemoryStore, Registry, UpcastingLog};
use local_servers::{TestDatabase, test_run};
use projection::{AnyProjection, of};
use projection::{Runner, Standing, generation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::rebuild::succeeds;
use crate::support::fragile::{
    CONSTRAINT, FIXED, FOLD_PANICS, Fragile, KEYS_PANIC, LOAD_PANICS, NO_KEY, SAVE_PANICS,
};
use crate::support::ledger::{Row, adjusted, traced};
use crate::support::life::{at, money, registered};
use crate::support::process::Process;
use crate::support::{
    append, ask, happening, happening_of, log, log_of, postgres_store, read_model, tell,
    until_all_at, watch, whole_database,
};

type Rows = BTreeMap<String, Row>;

async fn with_table(projection: &Arc<dyn AnyProjection>) -> TestDatabase {
    let database = read_model().await;
    generation::migrate(&database.url().parse().unwrap(), std::slice::from_ref(projection))
        .await
        .unwrap();
    database
}

fn runner_of(log: UpcastingLog, url: &str) -> Runner {
    Runner::new(log, url.parse().unwrap(), vec![of::<Fragile>()], None, watch())
}

async fn rows(url: &str) -> Rows {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM fragile_g1.fragile")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.into_iter().map(|row| (row.key.clone(), row)).collect()
}

async fn causes(url: &str) -> BTreeSet<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let causes = sqlx::query_scalar::<_, String>(
        "SELECT DISTINCT cause FROM read_model.parked WHERE cause IS NOT NULL",
    );
    causes.fetch_all(&mut connection).await.unwrap().into_iter().collect()
}

async fn runs(runner: &mut Runner, head: i64) {
    let standings = runner.run_once().await.unwrap();
    assert!(
        matches!(&standings[0].1, Standing::At(mark) if mark.position.0 == head),
        "{standings:?}"
    );
}

#[tokio::test]
async fn p7_a_panic_of_a_fold_and_a_row_that_postgres_refuses_hurt_only_their_own_rows() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let database = with_table(&of::<Fragile>()).await;
    let (url, store) = (database.url(), Arc::new(MemoryStore::new()));
    let (mut all, mut unhurt, mut hurt) = (Rows::new(), Rows::new(), BTreeSet::new());
    let mut position = 0;
    for round in 0..3 {
        for number in 0..300_i64 {
            let broken = [FOLD_PANICS, CONSTRAINT, SAVE_PANICS];
            let delta = match number {
                // Each kind in each round, in one batch.
                0..3 => broken[usize::try_from(number).unwrap()],
                _ if random.random_ratio(1, 100) => broken[random.random_range(0..3)],
                _ => random.random_range(100..1_000),
            };
            let product = Uuid::from_u128(random.random_range(0..150));
            append(store.as_ref(), vec![adjusted(product, delta)]).await;
            position += 1;
            let key = product.to_string();
            all.insert(key.clone(), traced(&key, all.get(&key).cloned(), delta, position));
            if broken.contains(&delta) {
                hurt.insert(key.clone());
            }
            if !hurt.contains(&key) {
                unhurt.insert(key.clone(), all[&key].clone());
            }
        }
        let mut runner = runner_of(log(Arc::clone(&store) as _), url);
        runs(&mut runner, position).await;
        runner.give_up().await;
        assert!(rows(url).await == unhurt, "round {round}, seed {}", run.seed);
    }
    let causes = causes(url).await;
    assert_eq!(causes.len(), 3, "{causes:?}");
    assert!(
        causes
            .iter()
            .any(|cause| cause.contains("the fold panicked") && !cause.contains("unlucky")),
        "{causes:?}"
    );
    assert!(
        causes.iter().any(|cause| cause.contains("23514") && cause.contains("fragile_trace")),
        "{causes:?}"
    );
    assert!(causes.contains("saving rows panicked: no such row"), "{causes:?}");

    // Tried again while nothing is fixed, each is refused again, and hurts nobody else.
    let ask_again = "INSERT INTO read_model.retry_requests (projection, generation, key)
                     SELECT DISTINCT projection, generation, key FROM read_model.parked ON \
                     CONFLICT DO NOTHING";
    tell(url, ask_again).await;
    let mut runner = runner_of(log(Arc::clone(&store) as _), url);
    runs(&mut runner, position).await;
    assert!(rows(url).await == unhurt, "seed {}", run.seed);
    FIXED.store(true, Ordering::SeqCst);
    tell(url, ask_again).await;
    while ask::<i64>(url, "SELECT count(*) FROM read_model.stale").await > 0 {
        runs(&mut runner, position).await;
    }
    assert!(rows(url).await == all, "seed {}", run.seed);
}

#[tokio::test]
async fn a_row_whose_loading_panics_is_parked_and_hurts_no_other() {
    let database = with_table(&of::<Fragile>()).await;
    let deltas = [100, 101, 102, LOAD_PANICS, 103, 104];
    let happened = deltas.into_iter().zip(1..);
    let happened = happened.map(|(delta, product)| adjusted(Uuid::from_u128(product), delta));
    let mut runner = runner_of(log(log_of(happened.collect()).await), database.url());
    runs(&mut runner, 6).await;
    runner.give_up().await;
    assert_eq!(rows(database.url()).await.len(), 5);
    let causes = causes(database.url()).await;
    assert!(causes.iter().eq(["loading rows panicked: a row that makes no sense"]), "{causes:?}");
}

/// Two processes after each other: both stop before the event, say which it is, and leave
/// everything before it done.
async fn stops_at_the_fourth(log: UpcastingLog, why: &str) {
    let database = with_table(&of::<Fragile>()).await;
    let url = database.url();
    for process in 0..2 {
        let mut runner = runner_of(log.clone(), url);
        let standings = runner.run_once().await.unwrap();
        let Standing::Stopped(reason) = &standings[0].1 else {
            panic!("process {process}: {standings:?}")
        };
        assert!(
            reason.contains("event 4 (product.stock") && reason.contains(why),
            "process {process}: {reason}"
        );
        assert_eq!(
            ask::<i64>(
                url,
                "SELECT position FROM read_model.checkpoints WHERE projection = 'fragile'"
            )
            .await,
            3
        );
        assert_eq!(
            &ask::<String>(
                url,
                "SELECT stopped_by FROM read_model.checkpoints WHERE projection = 'fragile'"
            )
            .await,
            reason
        );
        assert_eq!(rows(url).await.len(), 3);
        runner.give_up().await;
    }
}

#[tokio::test]
async fn an_event_whose_keys_cannot_be_told_stops_its_part_by_name() {
    for (delta, why) in [(KEYS_PANIC, "computing the keys panicked"), (NO_KEY, "22021")] {
        let deltas = [100, 101, 102, delta, 103, 104];
        let happened = deltas
            .into_iter()
            .zip(1..)
            .map(|(delta, product)| adjusted(Uuid::from_u128(product), delta));
        stops_at_the_fourth(log(log_of(happened.collect()).await), why).await;
    }
}

fn broken(_: serde_json::Value) -> Result<Vec<(&'static str, serde_json::Value)>, &'static str> {
    panic!("an upcaster of a test")
}

#[tokio::test]
async fn an_upcaster_that_panics_stops_the_part_by_name() {
    let old = |number: u128| {
        let product_id = Uuid::from_u128(number);
        let adjusted = ProductStockAdjusted { product_id, delta: 100, stock: 1 };
        happening_of(
            "product",
            product_id,
            "product.stock",
            1,
            &ProductEvent::StockAdjusted(adjusted),
            Vec::new(),
        )
    };
    let registry = Registry::new(
        [("product.stock_adjusted", 1)],
        [(("product.stock", 1), &[("product.stock_adjusted", 1)] as &[_], broken as Upcast)],
    );
    let mut happened: Vec<_> =
        (1..=3).map(|number| adjusted(Uuid::from_u128(number), 100)).collect();
    happened.extend([old(4), adjusted(Uuid::from_u128(5), 100)]);
    let log = UpcastingLog::new(log_of(happened).await, Arc::new(registry.unwrap()));
    stops_at_the_fourth(log, "its upcaster panicked").await;
}

/// A day that no column of Postgres can hold.
const TOO_EARLY: &str = "-5000-01-01T00:00:00Z";

#[tokio::test]
async fn p7_a_rebuild_and_a_verification_park_the_row_that_postgres_refuses_as_the_live_one_does() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let user_id = Uuid::from_u128(1);
    let confirmed = |ordered_at: &str| {
        let (order_id, ordered_at) = (Uuid::now_v7(), at(ordered_at));
        let confirmed = OrderConfirmed {
            order_id,
            user_id,
            total: money(5, "USD"),
            units: 1,
            ordered_at,
            to_fulfil: true,
        };
        happening("order", order_id, &OrderEvent::Confirmed(confirmed))
    };
    let mut happened =
        vec![happening("user", user_id, &registered(user_id)), confirmed("1997-01-01T00:00:00Z")];
    happened.extend([
        confirmed(TOO_EARLY),
        confirmed("1997-01-01T00:00:00Z"),
        confirmed("1997-01-02T00:00:00Z"),
    ]);
    append(store.as_ref(), happened).await;
    let process = Process::start(url);
    until_all_at(url, 5).await;
    let revenue = "SELECT COALESCE(sum(revenue_minor), 0)::bigint FROM read_model.daily_sales";
    assert_eq!(ask::<i64>(url, revenue).await, 15);
    let verified = succeeds(url, &["verify", "daily_sales"]).await;
    assert!(verified.contains("no difference"), "{verified}");
    let rebuilt = succeeds(url, &["rebuild", "daily_sales"]).await;
    assert!(rebuilt.contains("queries see generation 2"), "{rebuilt}");
    let verified = succeeds(url, &["verify", "daily_sales"]).await;
    assert!(verified.contains("no difference"), "{verified}");
    assert_eq!(ask::<i64>(url, revenue).await, 15);
    let refused = "SELECT count(*) FROM read_model.parked WHERE cause LIKE '%SQLSTATE 22008%' AND \
        position = 3
                   AND projection = 'daily_sales'";
    assert_eq!(ask::<i64>(url, refused).await, 2, "in both generations");
    drop(process);
}
