//! Callers that go away at any moment leave nothing behind (F1, F2).

use std::time::Duration;

use event_store::{EventStore, Filter, Position};
use local_servers::test_run;
use rand::Rng;

use crate::support::{appended, check_dense, connect, database, one, plain, random};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_dropped_at_any_moment_leave_no_transaction_open_and_no_append_half_done() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut random = random();
    let rounds = test_run().count(300, 10_000);
    for round in 0..rounds {
        let patience = Duration::from_micros(random.random_range(0..3_000));
        let (appending, reading) = (store.clone(), store.clone());
        let both = async move {
            let _ = tokio::join!(appending.append(one(round % 5)), reading.read(&Filter::All, Position::START, 10));
        };
        // Whether it was in time does not matter; that the future is dropped when it was not does.
        tokio::time::timeout(patience, both).await.ok();
    }
    let last = appended(store.append(one("last")).await.unwrap()).last.position;
    assert_eq!(check_dense(&store).await, last);
    let mut admin = plain(database.url()).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(open).fetch_one(&mut admin).await.unwrap(), 0);
}
