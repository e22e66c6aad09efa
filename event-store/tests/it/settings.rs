//! Settings under which a server loses acknowledged data, changed by a reload while the store
//! appends. Nothing is acknowledged under them, and the store resumes by itself once they are
//! corrected (P4).

use std::time::{Duration, Instant};

use event_store::postgres::migrate;
use event_store::{Append, EventStore, PostgresStore, StoreError};
use local_servers::{ClusterOptions, PostgresCluster, until};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{appended, check_dense, one, options, plain, take};

const LIMIT: Duration = Duration::from_secs(20);

async fn reload_with(admin: &mut PgConnection, change: &str) {
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER SYSTEM {change}")))
        .execute(&mut *admin)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(admin).await.unwrap();
}

/// Starts a cluster whose commits reach the disk, but not before they must.
async fn durable() -> PostgresCluster {
    let settings = vec![("wal_writer_delay".to_owned(), "10s".to_owned())];
    let cluster = PostgresCluster::start(ClusterOptions {
        durable: true,
        settings,
        ..ClusterOptions::default()
    })
    .await
    .unwrap();
    migrate(&cluster.url()).await.unwrap();
    cluster
}

/// Appends until a setting causes a refusal. Returns the number of acknowledged appends and the
/// reason.
async fn until_refused(store: &PostgresStore) -> (i64, String) {
    let (mut acknowledged, since) = (0, Instant::now());
    loop {
        match store.append(one("a")).await {
            Ok(outcome) => drop(appended(outcome)),
            Err(StoreError::Unsafe(why)) => return (acknowledged, why),
            Err(error) => panic!("{error:?}"),
        }
        acknowledged += 1;
        assert!(since.elapsed() < LIMIT, "{acknowledged} appends were acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_an_unsafe_setting_stops_appends_and_readiness_from_reload_to_repair() {
    let cluster = durable().await;
    let mut admin = plain(&cluster.url()).await;
    let store = PostgresStore::connect(options(&cluster.url())).await.unwrap();
    let mut count = 0;
    for (setting, value) in [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
    ] {
        appended(store.append(one("a")).await.unwrap());
        store.ready().await.unwrap();
        reload_with(&mut admin, &format!("SET {setting} = {value}")).await;
        let (acknowledged, why) = until_refused(&store).await;
        count += acknowledged + 1;
        assert!(why.starts_with(&format!("{setting} is {value}")), "{why}");
        // The general function refuses too.
        let reserving = store.append(Append { reservations: vec![take(1, "a")], ..one("a") }).await;
        assert!(matches!(reserving, Err(StoreError::Unsafe(_))), "{reserving:?}");
        until("it says that it is not ready", async || {
            matches!(store.ready().await, Err(StoreError::Unsafe(_)))
        })
        .await;
        let new = PostgresStore::connect(options(&cluster.url())).await;
        assert!(matches!(new, Err(StoreError::Unsafe(_))), "and no other one begins");
        reload_with(&mut admin, &format!("RESET {setting}")).await;
        until("it is ready again", async || store.ready().await.is_ok()).await;
        until("it appends again", async || store.append(one("a")).await.is_ok()).await;
        count += 1;
        assert_eq!(check_dense(&store).await.0, count, "a refused event is not there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_what_was_acknowledged_while_commits_stopped_waiting_for_the_disk_outlives_a_crash() {
    let mut cluster = durable().await;
    let mut admin = plain(&cluster.url()).await;
    let store = PostgresStore::connect(options(&cluster.url())).await.unwrap();
    appended(store.append(one("a")).await.unwrap());
    reload_with(&mut admin, "SET synchronous_commit = off").await;
    let (acknowledged, _) = until_refused(&store).await;
    cluster.kill().await;
    cluster.start_again().await;
    reload_with(&mut plain(&cluster.url()).await, "RESET synchronous_commit").await;
    let mut again = PostgresStore::connect(options(&cluster.url())).await;
    let since = Instant::now();
    while again.is_err() && since.elapsed() < LIMIT {
        again = PostgresStore::connect(options(&cluster.url())).await;
    }
    assert_eq!(check_dense(&again.unwrap()).await.0, acknowledged + 1);
}
