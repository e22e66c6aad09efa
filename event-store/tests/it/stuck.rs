//! A transaction that holds the lock and does not end. Other appends get an answer in time, and
//! everything recovers once it ends (A9).

use std::time::{Duration, Instant};

use event_store::{AppendOutcome, EventStore, PostgresStore, StoreError};
use local_servers::Stopped;
use uuid::Uuid;

use crate::support::{appended, check_dense, connect, database, one, options, plain};

const DEADLINE: Duration = Duration::from_millis(1_500);
/// The slack on top of a deadline for a loaded machine.
const SLACK: Duration = Duration::from_secs(2);

async fn impatient(url: &str) -> PostgresStore {
    PostgresStore::connect(options(url).append_deadline(DEADLINE).application_name("impatient"))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_behind_a_stuck_holder_of_the_lock_are_answered_in_time() {
    let database = database().await;
    let store = impatient(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let mut holder = plain(database.url()).await;
    sqlx::raw_sql("BEGIN; SELECT epoch FROM event_store.log FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()")
        .fetch_one(&mut holder)
        .await
        .unwrap();
    let stopped = Stopped::stop([pid]);
    let started = Instant::now();
    let waiters = (0..50).map(|writer| {
        let store = store.clone();
        async move { store.append(one(writer)).await }
    });
    let outcomes = futures::future::join_all(waiters).await;
    // Appends whose call was in flight, and appends that only waited for the next one.
    let unknown = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(StoreError::OutcomeUnknown(_))))
        .count();
    let unsent = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(StoreError::Unavailable(_))))
        .count();
    assert!(unknown >= 1 && unknown + unsent == outcomes.len(), "{outcomes:?}");
    assert!(started.elapsed() < DEADLINE + SLACK, "{:?}", started.elapsed());
    drop(stopped);
    drop(holder);
    heals(&store).await;
    check_dense(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_own_backend_is_stuck_answers_in_time_and_heals() {
    let database = database().await;
    let store = impatient(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let mut admin = plain(database.url()).await;
    // The backend of the append connection is the one that last called the procedure.
    let backend = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query \
        LIKE 'CALL event_store.append%'";
    let stopped =
        Stopped::stop(sqlx::query_scalar::<_, i32>(backend).fetch_all(&mut admin).await.unwrap());
    let appends = (0..20).map(one).collect::<Vec<_>>();
    let started = Instant::now();
    let outcomes =
        futures::future::join_all(appends.iter().map(|append| store.append(append.clone()))).await;
    let is_unknown = |outcome: &&Result<AppendOutcome, StoreError>| {
        matches!(outcome, Err(StoreError::OutcomeUnknown(_)))
    };
    assert!(
        outcomes.iter().any(|outcome| is_unknown(&outcome)),
        "a call was under way: {outcomes:?}"
    );
    let unsent: Vec<Uuid> = std::iter::zip(&appends, &outcomes)
        .filter(|(_, outcome)| !is_unknown(outcome))
        .map(|(append, outcome)| {
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
            append.streams[0].events[0].id
        })
        .collect();
    assert!(started.elapsed() < DEADLINE + SLACK, "{:?}", started.elapsed());
    drop(stopped);
    heals(&store).await;
    // Unknown means appended once or not at all; unavailable means not at all. After a repeat, each
    // append is there exactly once.
    let there = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM event_store.events WHERE event_id = ANY ($1)",
    )
    .bind(unsent);
    assert_eq!(there.fetch_one(&mut admin).await.unwrap(), 0);
    for append in appends {
        assert!(matches!(store.append(append).await.unwrap(), AppendOutcome::Appended(_)));
    }
    let head = check_dense(&store).await;
    let distinct =
        sqlx::query_scalar::<_, i64>("SELECT count(DISTINCT event_id) FROM event_store.events")
            .fetch_one(&mut admin)
            .await;
    assert_eq!(distinct.unwrap(), head.0);
}

/// Checks that appends succeed again soon.
async fn heals(store: &PostgresStore) {
    let since = Instant::now();
    while let Err(error) = store.append(one("healed")).await {
        assert!(since.elapsed() < DEADLINE + SLACK, "it did not recover: {error:?}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let database = database().await;
    let store =
        PostgresStore::connect(options(database.url()).append_deadline(DEADLINE).max_queued(2))
            .await
            .unwrap();
    appended(store.append(one("first")).await.unwrap());
    let mut holder = plain(database.url()).await;
    sqlx::raw_sql("BEGIN; SELECT epoch FROM event_store.log FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let outcomes = futures::future::join_all((0..10).map(|writer| store.append(one(writer)))).await;
    let count =
        |is: fn(&StoreError) -> bool| outcomes.iter().filter(|o| o.as_ref().is_err_and(is)).count();
    assert_eq!(count(|error| matches!(error, StoreError::Unavailable(_))), 8, "{outcomes:?}");
    assert_eq!(count(|error| matches!(error, StoreError::OutcomeUnknown(_))), 2, "{outcomes:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    heals(&store).await;
    assert_eq!(
        check_dense(&connect(database.url()).await).await,
        store.head().await.unwrap().mark.position
    );
}
