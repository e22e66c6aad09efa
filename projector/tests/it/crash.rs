//! The real process, killed and frozen.

use std::time::Duration;

use event_store::EventStore;
use local_servers::test_run;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};

use crate::support::life::Life;
use crate::support::process::{Process, command, finished};
use crate::support::{
    append, ask, contents, postgres_store, replayed, until, until_all_at, whole_database,
};

/// Counts the projector's connections.
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name LIKE 'projector %'";
/// Whether a backend of a projector waits for a lock in mid-transaction.
const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'projector %' AND \
    wait_event_type = 'Lock'";

#[tokio::test]
async fn p6_killed_with_9_at_any_moment_it_goes_on_exactly_where_it_was() {
    let run = test_run();
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let mut life = Life::new(run.seed);
    let mut random = StdRng::seed_from_u64(run.seed);
    for _ in 0..run.count(5, 500) {
        let mut process = Process::start(database.url());
        append(store.as_ref(), life.goes_on(random.random_range(1..60))).await;
        // The moment of the kill is what is varied here; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        process.kill_9().await;
    }
    let process = Process::start(database.url());
    until_all_at(database.url(), store.head().await.unwrap().mark.position.0).await;
    drop(process);
    assert_eq!(contents(database.url()).await, replayed(store).await, "seed {}", run.seed);
}

#[tokio::test]
async fn p6_killed_with_9_in_mid_transaction_nothing_of_the_batch_stays() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let mut life = Life::new(31);
    append(store.as_ref(), life.goes_on(200)).await;
    let mut process = Process::start(database.url());
    until_all_at(database.url(), 200).await;

    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT FROM users_g1.users FOR UPDATE").execute(&mut *lock).await.unwrap();
    // It sees all of them at once, so that its first batch changes a locked row, too.
    process.signal(Signal::SIGSTOP);
    append(store.as_ref(), life.goes_on(200)).await;
    process.signal(Signal::SIGCONT);
    until("the projector to be in mid-transaction", || async {
        ask::<i64>(database.url(), BLOCKED).await > 0
    })
    .await;
    // A smaller batch may have come before the one that waits.
    let before = contents(database.url()).await;
    process.kill_9().await;
    lock.rollback().await.unwrap();
    // The statement that waited is carried out now. Nobody commits it.
    until("the transactions to end", || async { ask::<i64>(database.url(), OPEN).await == 0 })
        .await;
    assert_eq!(contents(database.url()).await["users"], before["users"]);

    let _process = Process::start(database.url());
    until_all_at(database.url(), 400).await;
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

#[tokio::test]
async fn a_terminated_process_gives_up_its_leases_and_exits_with_0() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    append(store.as_ref(), Life::new(51).goes_on(20)).await;
    let mut process = Process::start(database.url());
    until_all_at(database.url(), 20).await;
    let status = finished(command(database.url()).args(["status", "--json"])).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["head"], &status["projections"][0]["lag_events"]),
        (&20.into(), &0.into()),
        "{status}"
    );
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0));
    let held: i64 =
        ask(database.url(), "SELECT count(*) FROM read_model.leases WHERE owner IS NOT NULL").await;
    assert_eq!(held, 0);
    let status = finished(command(database.url()).args(["status", "--json"])).await;
    assert!(String::from_utf8_lossy(&status.stdout).contains("not_running"));
}

#[tokio::test]
async fn the_admin_port_tells_of_life_readiness_and_lag() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    append(store.as_ref(), Life::new(52).goes_on(20)).await;
    let process = Process::start(database.url());
    until_all_at(database.url(), 20).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    assert!(process.get("/livez").await.starts_with("HTTP/1.1 200"));
    until("the metrics to show the head", || async {
        process
            .get("/metrics")
            .await
            .contains("projection_position{projection=\"users\",partition=\"0\"} 20")
    })
    .await;
    let metrics = process.get("/metrics").await;
    for line in [
        "projection_lag_events{projection=\"orders\",partition=\"0\"} 0",
        "projection_lag_seconds{projection=\"orders\",partition=\"0\"} 0",
        "projection_events_total{projection=\"daily_sales\",partition=\"0\",result=\"ignored\"}",
        "eventstore_head_position 20",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    for name in [
        "projection_position",
        "projection_lag_events",
        "projection_lag_seconds",
        "projection_events_total",
    ] {
        assert!(
            metrics.contains(&format!("# HELP {name} ")),
            "{name} is not described in {metrics}"
        );
    }
}

#[tokio::test]
async fn a_process_that_is_behind_and_cannot_move_is_not_ready() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let mut life = Life::new(53);
    append(store.as_ref(), life.goes_on(50)).await;
    let process = Process::start(database.url());
    until_all_at(database.url(), 50).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE users_g1.users").execute(&mut *lock).await.unwrap();
    append(store.as_ref(), life.goes_on(50)).await;
    until("the process to say that it does not move", || async {
        let answer = process.get("/readyz?verbose").await;
        answer.starts_with("HTTP/1.1 503") && answer.contains("users is behind and does not move")
    })
    .await;
    lock.rollback().await.unwrap();
    until_all_at(database.url(), 100).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    assert_eq!(contents(database.url()).await, replayed(store).await);
}
