//! Tests of a server that a reload has configured to lose acknowledged commits.

use event_store::postgres;
use event_store::postgres::keys;
use local_servers::{ClusterOptions, PostgresCluster};
use sqlx::{Connection as _, PgConnection};

use crate::process::Process;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_makes_commits_unsafe_ends_readiness_and_commands_until_it_is_undone() {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let url = cluster.url();
    postgres::migrate(&url).await.unwrap();
    keys::migrate(&url).await.unwrap();
    let process = Process::start(&[("EVENT_STORE_URL", &url)]);
    process.readiness(200).await;
    assert_eq!(process.register("first@example.com").await, 201);
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let mut reload = async |statement: &'static str| {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    };
    reload("ALTER SYSTEM SET synchronous_commit = off").await;
    process.readiness(503).await;
    assert_eq!(
        process.register("second@example.com").await,
        503,
        "nothing is acknowledged that can be lost"
    );
    reload("ALTER SYSTEM RESET synchronous_commit").await;
    process.readiness(200).await;
    assert_eq!(process.register("second@example.com").await, 201, "nothing of it was left behind");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
}
