//! Synchronous standbys: a commit whose wait was cancelled may not be replicated, so it is not
//! acknowledged (A4; P4, I5).

use std::time::{Duration, Instant};

use event_store::encryption::MemoryKeys;
use event_store::erasure::{EraseError, EraseRequest, erase};
use event_store::postgres::migrate;
use event_store::{Append, EventStore, Position, PostgresStore, StoreError};
use local_servers::{ClusterOptions, PostgresCluster};
use sqlx::PgConnection;

use crate::support::{appended, check_dense, key, one, options, plain, repeated};

/// The pattern of the store's call.
const APPEND: &str = "CALL event_store.%";
const LIMIT: Duration = Duration::from_secs(20);

/// Makes every further commit wait for a standby that does not exist, or for none.
async fn wait_for(admin: &mut PgConnection, standby: &'static str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *admin).await.unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut *admin).await.unwrap();
    let since = Instant::now();
    while sqlx::query_scalar::<_, String>("SHOW synchronous_standby_names")
        .fetch_one(&mut *admin)
        .await
        .unwrap()
        != standby
    {
        assert!(since.elapsed() < LIMIT, "the setting has no effect");
    }
}

/// A commit that is not the store's.
const PROBE: &str = "SELECT pg_logical_emit_message(true, 'probe', '')";

/// Waits until commits do wait. Each Postgres process reads a new setting at its own time, and one
/// of them applies it for all commits.
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

/// Cancels the next wait for a standby by a statement like this.
async fn cancel_one_wait(admin: &mut PgConnection, statement: &str) {
    let cancel = "SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND query LIKE $1";
    let since = Instant::now();
    while !sqlx::query_scalar::<_, bool>(cancel)
        .bind(statement)
        .fetch_one(&mut *admin)
        .await
        .unwrap()
    {
        assert!(since.elapsed() < LIMIT, "no commit waits for a standby");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Cancels every waiting commit, so that the lock is free.
async fn cancel_all_waits(admin: &mut PgConnection) {
    let cancel =
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let since = Instant::now();
    while sqlx::query_scalar::<_, i64>(cancel).fetch_one(&mut *admin).await.unwrap() > 0 {
        assert!(since.elapsed() < LIMIT, "commits go on waiting");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a cluster whose standby is missing, and a store with one event and short deadlines.
async fn without_its_standby() -> (PostgresCluster, PgConnection, PostgresStore) {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let mut admin = plain(&cluster.url()).await;
    sqlx::raw_sql("SET synchronous_commit = local").execute(&mut admin).await.unwrap();
    let impatient = options(&cluster.url()).append_deadline(Duration::from_secs(1));
    let store = PostgresStore::connect(impatient).await.unwrap();
    appended(store.append(one("a")).await.unwrap());
    wait_for(&mut admin, "nobody").await;
    see_commits_wait(&mut admin, &cluster.url()).await;
    (cluster, admin, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_commit_whose_wait_for_a_standby_was_cancelled_is_not_acknowledged() {
    let (cluster, mut admin, store) = without_its_standby().await;

    // Cancelled, the commit is visible only here. The store sends it again, and that waits as well.
    let append = one("a");
    let (outcome, ()) =
        tokio::join!(store.append(append.clone()), cancel_one_wait(&mut admin, APPEND));
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");

    // Once commits are acknowledged again, the retry reveals the outcome.
    let patient =
        PostgresStore::connect(options(&cluster.url()).append_deadline(LIMIT)).await.unwrap();
    let retry = tokio::spawn({
        let (patient, append) = (patient.clone(), append.clone());
        async move { patient.append(append).await }
    });
    cancel_one_wait(&mut admin, APPEND).await;
    wait_for(&mut admin, "").await;
    assert_eq!(appended(retry.await.unwrap().unwrap()).last.position, Position(2));
    assert_eq!(check_dense(&patient).await, Position(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_p9_what_no_standby_has_is_acknowledged_to_no_repeat_either() {
    let (cluster, mut admin, store) = without_its_standby().await;
    let lookup = key(1, 1, "1");
    let keyed = Append { idempotency: Some(lookup.clone()), ..one("a") };
    let (outcome, ()) = tokio::join!(store.append(keyed), cancel_one_wait(&mut admin, APPEND));
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    let (keys, subject) = (MemoryKeys::new(), uuid::Uuid::from_u128(0xada));
    let request = EraseRequest { subject, by: "ops-7".to_owned() };
    cancel_all_waits(&mut admin).await;
    let (erased, ()) =
        tokio::join!(erase(&store, &keys, &request), cancel_one_wait(&mut admin, APPEND));
    assert!(matches!(erased, Err(EraseError::Store(StoreError::OutcomeUnknown(_)))), "{erased:?}");
    cancel_all_waits(&mut admin).await;

    // Both can be read here, but on no other server.
    assert_eq!(check_dense(&store).await, Position(3));
    for round in 0..2 {
        let looked = store.repeated(&lookup).await;
        assert!(matches!(looked, Err(StoreError::OutcomeUnknown(_))), "{round}: {looked:?}");
        let erased = erase(&store, &keys, &request).await;
        let unknown = matches!(
            erased,
            Err(EraseError::Store(StoreError::OutcomeUnknown(_) | StoreError::Unavailable(_)))
        );
        assert!(unknown, "{round}: {erased:?}");
        assert!(
            store.repeated(&key(2, 1, "1")).await.unwrap().is_none(),
            "there is nothing to wait for"
        );
    }
    // Once a standby would have them, both keep their results.
    let patient =
        PostgresStore::connect(options(&cluster.url()).append_deadline(LIMIT)).await.unwrap();
    wait_for(&mut admin, "").await;
    assert_eq!(
        repeated(patient.repeated(&lookup).await.unwrap().unwrap()).0.last.position,
        Position(2)
    );
    assert_eq!(
        erase(&patient, &keys, &request).await.unwrap().erased_at.unwrap().position,
        Position(3)
    );
    assert_eq!(check_dense(&patient).await, Position(3));
}
