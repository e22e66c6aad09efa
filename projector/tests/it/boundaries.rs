//! Where a batch ends makes no difference to what rows are in the end, also where Postgres refuses
//! rows in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event_store::MemoryStore;
use local_servers::{TestDatabase, test_run};
use projection::{AnyProjection, of};
use projection::{Runner, Standing, generation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::ledger::{Row, adjusted, summed};
use crate::support::tight::{POSSIBLE, Tight};
use crate::support::{append, ask, log, read_model, tell, watch};

type Rows = BTreeMap<String, Row>;
/// What is parked: key and position.
type Parked = BTreeSet<(String, i64)>;

async fn stands(url: &str) -> (Rows, Parked) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM tight_g1.tight").fetch_all(&mut connection).await.unwrap();
    let parked = sqlx::query_as("SELECT key, position FROM read_model.parked")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    (rows.into_iter().map(|row| (row.key.clone(), row)).collect(), parked.into_iter().collect())
}

/// Projects what the log holds in one batch.
async fn projects(store: &Arc<MemoryStore>, url: &str) {
    let mut runner = Runner::new(
        log(Arc::clone(store) as _),
        url.parse().unwrap(),
        vec![of::<Tight>()],
        None,
        watch(),
    );
    let standings = runner.run_once().await.unwrap();
    assert!(matches!(&standings[0].1, Standing::At(_)), "{standings:?}");
    runner.give_up().await;
}

/// Tries what is parked again, as the process does by itself after a while.
async fn tries_again(store: &Arc<MemoryStore>, url: &str) {
    let request = "INSERT INTO read_model.retry_requests (projection, generation, key)
                   SELECT DISTINCT projection, generation, key FROM read_model.parked ON CONFLICT \
                   DO NOTHING";
    tell(url, request).await;
    while ask::<i64>(url, "SELECT count(*) FROM read_model.retry_requests").await > 0 {
        projects(store, url).await;
    }
}

async fn with_table() -> TestDatabase {
    let (database, projection): (_, Arc<dyn AnyProjection>) = (read_model().await, of::<Tight>());
    generation::migrate(&database.url().parse().unwrap(), std::slice::from_ref(&projection))
        .await
        .unwrap();
    database
}

#[tokio::test]
async fn p7_a_row_that_is_impossible_between_two_events_is_the_same_wherever_a_batch_ends() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let (at_once, bit_by_bit) = (with_table().await, with_table().await);
    let store = Arc::new(MemoryStore::new());
    // By the rule: the row as of its last event after which it was possible, and what came since is
    // parked.
    let (mut rows, mut parked, mut tentative) = (Rows::new(), Parked::new(), Rows::new());
    for position in 1..=200 {
        let (product, delta) =
            (Uuid::from_u128(random.random_range(0..12)), random.random_range(-50..=60));
        let key = product.to_string();
        append(store.as_ref(), vec![adjusted(product, delta)]).await;
        let row = summed(&key, tentative.get(&key).cloned(), delta, position);
        tentative.insert(key.clone(), row.clone());
        parked.insert((key.clone(), position));
        if POSSIBLE.contains(&row.trace) {
            parked.retain(|(of, _)| *of != key);
            rows.insert(key, row);
        }
        if random.random_ratio(1, 4) {
            projects(&store, bit_by_bit.url()).await;
        }
        if random.random_ratio(1, 20) {
            tries_again(&store, bit_by_bit.url()).await;
        }
    }
    assert!(!parked.is_empty() && !rows.is_empty(), "seed {}: nothing was compared", run.seed);
    for (database, how) in [(&at_once, "in one batch"), (&bit_by_bit, "bit by bit")] {
        projects(&store, database.url()).await;
        tries_again(&store, database.url()).await;
        let stands = stands(database.url()).await;
        assert_eq!(stands.0, rows, "{how}, seed {}", run.seed);
        assert_eq!(stands.1, parked, "{how}, seed {}", run.seed);
    }
}
