//! Errors that arrive after the COMMIT. The batch is in the log, so no answer may claim that
//! nothing changed (P4, I5).

use std::time::{Duration, Instant};

use event_store::{Append, EventStore, Position, StoreError};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{appended, check_dense, connect, database, one, plain, take};

const LIMIT: Duration = Duration::from_secs(20);
/// A statement that cancels the store's call while it sleeps after its COMMIT.
const SLEEPING: &str = "SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM \
    pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'PgSleep' AND query LIKE 'CALL \
    event_store.append%'";

/// Makes both procedures sleep between their COMMIT and their answer.
async fn sleep_after_commit(admin: &mut PgConnection) {
    let procedures = "SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p
        WHERE p.pronamespace = 'event_store'::regnamespace AND p.prokind = 'p'";
    for definition in
        sqlx::query_scalar::<_, String>(procedures).fetch_all(&mut *admin).await.unwrap()
    {
        let sleeping = definition
            .replace("    COMMIT;\n", "    COMMIT;\n    PERFORM pg_catalog.pg_sleep(60);\n");
        assert_ne!(sleeping, definition);
        sqlx::raw_sql(AssertSqlSafe(sleeping)).execute(&mut *admin).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_call_that_is_cancelled_after_its_commit_is_not_said_to_have_changed_nothing() {
    // The plain function, and the general one.
    for append in [one("a"), Append { reservations: vec![take(1, "a")], ..one("a") }] {
        let database = database().await;
        let store = connect(database.url()).await;
        let mut admin = plain(database.url()).await;
        sleep_after_commit(&mut admin).await;
        let call = tokio::spawn({
            let (store, append) = (store.clone(), append.clone());
            async move { store.append(append).await }
        });
        // The store must not send it again: that would reveal the outcome.
        let since = Instant::now();
        let committed = "SELECT count(*) FROM event_store.events";
        while sqlx::query_scalar::<_, i64>(committed).fetch_one(&mut admin).await.unwrap() == 0 {
            assert!(since.elapsed() < LIMIT, "nothing was committed");
        }
        for way in ["append", "append_plain"] {
            let gone =
                AssertSqlSafe(format!("ALTER PROCEDURE event_store.{way} RENAME TO {way}_gone"));
            sqlx::raw_sql(gone).execute(&mut admin).await.unwrap();
        }
        while !sqlx::query_scalar::<_, bool>(SLEEPING).fetch_one(&mut admin).await.unwrap() {
            assert!(since.elapsed() < LIMIT, "no call sleeps after the commit");
        }
        let outcome = call.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
        assert_eq!(check_dense(&store).await, Position(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_call_that_is_cancelled_after_its_commit_is_sent_again_and_answered_as_what_it_was() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut admin = plain(database.url()).await;
    let kept = "SELECT pg_get_functiondef('event_store.append_plain'::regproc)";
    let awake = sqlx::query_scalar::<_, String>(kept).fetch_one(&mut admin).await.unwrap();
    sleep_after_commit(&mut admin).await;
    let call = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("a")).await }
    });
    let since = Instant::now();
    let committed = "SELECT count(*) FROM event_store.events";
    while sqlx::query_scalar::<_, i64>(committed).fetch_one(&mut admin).await.unwrap() == 0 {
        assert!(since.elapsed() < LIMIT, "nothing was committed");
    }
    sqlx::raw_sql(AssertSqlSafe(awake)).execute(&mut admin).await.unwrap();
    while !sqlx::query_scalar::<_, bool>(SLEEPING).fetch_one(&mut admin).await.unwrap() {
        assert!(since.elapsed() < LIMIT, "no call sleeps after the commit");
    }
    assert_eq!(appended(call.await.unwrap().unwrap()).last.position, Position(1));
    assert_eq!(check_dense(&store).await, Position(1));
}
