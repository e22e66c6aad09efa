//! Synchronous standbys: a commit whose wait was cancelled may not be replicated, and is not acknowledged (A4; P4, I5).

use std::time::{Duration, Instant};

use event_store::postgres::migrate;
use event_store::{EventStore, Position, PostgresStore, StoreError};
use local_servers::{ClusterOptions, PostgresCluster};
use sqlx::PgConnection;

use crate::support::{appended, check_dense, one, options, plain};

/// The store's call.
const APPEND: &str = "CALL event_store.%";
const LIMIT: Duration = Duration::from_secs(20);

/// Makes every commit from now on wait for a standby that does not exist, or for none.
async fn wait_for(admin: &mut PgConnection, standby: &'static str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *admin).await.unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut *admin).await.unwrap();
    let since = Instant::now();
    while sqlx::query_scalar::<_, String>("SHOW synchronous_standby_names").fetch_one(&mut *admin).await.unwrap() != standby {
        assert!(since.elapsed() < LIMIT, "the setting does not arrive");
    }
}

/// A commit that is not the store's.
const PROBE: &str = "SELECT pg_logical_emit_message(true, 'probe', '')";

/// Returns once commits do wait: every process hears of a new setting in its own time, and one of them for all that commit.
async fn see_commits_wait(admin: &mut PgConnection, url: &str) {
    let mut other = plain(url).await;
    let commits = async {
        loop {
            sqlx::raw_sql(PROBE).execute(&mut other).await.unwrap();
        }
    };
    tokio::select! {
        () = commits => {}
        () = cancel_one_wait(admin, "SELECT pg_logical_emit_message(%") => {}
    }
}

/// Cancels the next wait for a standby of those whose statement is like this.
async fn cancel_one_wait(admin: &mut PgConnection, statement: &str) {
    let cancel = "SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND query LIKE $1";
    let since = Instant::now();
    while !sqlx::query_scalar::<_, bool>(cancel).bind(statement).fetch_one(&mut *admin).await.unwrap() {
        assert!(since.elapsed() < LIMIT, "nobody waits for a standby");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_commit_whose_wait_for_a_standby_was_cancelled_is_not_acknowledged() {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let mut admin = plain(&cluster.url()).await;
    sqlx::raw_sql("SET synchronous_commit = local").execute(&mut admin).await.unwrap();
    let impatient = options(&cluster.url()).append_deadline(Duration::from_secs(1));
    let store = PostgresStore::connect(impatient).await.unwrap();
    appended(store.append(one("a")).await.unwrap());
    wait_for(&mut admin, "nobody").await;
    see_commits_wait(&mut admin, &cluster.url()).await;

    // Cancelled, it is visible here and nowhere else; it is sent again, and that waits as well.
    let append = one("a");
    let (outcome, ()) = tokio::join!(store.append(append.clone()), cancel_one_wait(&mut admin, APPEND));
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");

    // Once a commit counts again, the retry settles what came of it.
    let patient = PostgresStore::connect(options(&cluster.url()).append_deadline(LIMIT)).await.unwrap();
    let retry = tokio::spawn({
        let (patient, append) = (patient.clone(), append.clone());
        async move { patient.append(append).await }
    });
    cancel_one_wait(&mut admin, APPEND).await;
    wait_for(&mut admin, "").await;
    assert_eq!(appended(retry.await.unwrap().unwrap()).last.position, Position(2));
    assert_eq!(check_dense(&patient).await, Position(2));
}
