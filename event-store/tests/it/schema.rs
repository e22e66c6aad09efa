//! The schema: migrations are safe, an unknown version is rejected, and every connection proves the
//! history.

use event_store::postgres::migrate;
use event_store::{EventStore, PostgresStore, StoreError};
use local_servers::TestDatabase;
use sqlx::AssertSqlSafe;

use crate::support::{appended, check_dense, connect, database, one, options, plain};

async fn empty() -> TestDatabase {
    TestDatabase::create("empty", "1", |_| async { Ok(()) }).await
}

async fn refusal(url: &str) -> String {
    match PostgresStore::connect(options(url)).await {
        Err(StoreError::Unusable(why) | StoreError::Unsafe(why)) => why,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_made_once_by_many_at_once_and_again() {
    let (one_database, other) = (empty().await, empty().await);
    let all = futures::future::join_all(
        (0..4).flat_map(|_| [&one_database, &other]).map(|database| migrate(database.url())),
    )
    .await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    migrate(one_database.url()).await.unwrap();
    let epoch = async |url| connect(url).await.head().await.unwrap().epoch;
    assert_ne!(
        epoch(one_database.url()).await,
        epoch(other.url()).await,
        "each log begins an epoch of its own"
    );
}

#[tokio::test]
async fn a_schema_that_is_missing_older_or_newer_is_refused_with_what_to_do() {
    let database = empty().await;
    assert!(refusal(database.url()).await.contains("migrate event-store"));
    migrate(database.url()).await.unwrap();
    let mut admin = plain(database.url()).await;
    let change = async |admin: &mut sqlx::PgConnection, statement: &'static str| {
        sqlx::raw_sql(statement).execute(admin).await.unwrap();
    };
    change(
        &mut admin,
        "INSERT INTO event_store._sqlx_migrations SELECT 99999999999999, description, \
            installed_on, success, checksum,
        execution_time FROM event_store._sqlx_migrations LIMIT 1",
    )
    .await;
    assert!(refusal(database.url()).await.contains("newer program"));
    change(&mut admin, "DELETE FROM event_store._sqlx_migrations WHERE version = 99999999999999")
        .await;
    connect(database.url()).await;
    change(
        &mut admin,
        "UPDATE event_store._sqlx_migrations SET checksum = '\\x00' WHERE version = (SELECT \
            max(version) FROM
        event_store._sqlx_migrations)",
    )
    .await;
    assert!(refusal(database.url()).await.contains("another one"));
    change(
        &mut admin,
        "DELETE FROM event_store._sqlx_migrations WHERE version = (SELECT max(version) FROM
        event_store._sqlx_migrations)",
    )
    .await;
    assert!(refusal(database.url()).await.contains("migrate event-store"));
}

#[tokio::test]
async fn settings_under_which_an_acknowledged_append_would_be_lost_are_refused() {
    let database = database().await;
    let mut admin = plain(database.url()).await;
    let set = format!("ALTER DATABASE {} SET synchronous_commit = off", database.name());
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
    assert!(refusal(database.url()).await.contains("synchronous_commit"));
}

/// A statement that ends every connection of the store, as a failover does.
pub(crate) const END_CONNECTIONS: &str =
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn a_clean_reconnect_is_no_outage() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut admin = plain(database.url()).await;
    for round in 1..=5 {
        appended(store.append(one("a")).await.unwrap());
        sqlx::raw_sql(END_CONNECTIONS).execute(&mut admin).await.unwrap();
        assert_eq!(appended(store.append(one("b")).await.unwrap()).last.position.0, 2 * round);
    }
    check_dense(&store).await;
}

/// Returns the error of an append. The first append's connection may end during the call, which
/// leaves its outcome unknown.
pub(crate) async fn other_history(store: &PostgresStore) -> StoreError {
    match store.append(one("a")).await.unwrap_err() {
        StoreError::OutcomeUnknown(_) => store.append(one("a")).await.unwrap_err(),
        error => error,
    }
}

#[tokio::test]
async fn another_history_behind_a_new_connection_stops_the_store() {
    for (change, why) in [
        (
            "UPDATE event_store.events SET event_id = gen_random_uuid() WHERE position = 3",
            "where this process knows event",
        ),
        ("DELETE FROM event_store.events WHERE position = 3", "no event at position 3"),
    ] {
        let database = database().await;
        let store = connect(database.url()).await;
        for _ in 0..3 {
            appended(store.append(one("a")).await.unwrap());
        }
        let mut admin = plain(database.url()).await;
        sqlx::raw_sql(change).execute(&mut admin).await.unwrap();
        sqlx::raw_sql(END_CONNECTIONS).execute(&mut admin).await.unwrap();
        // The append connection is new: nothing is appended to another history.
        let error = other_history(&store).await;
        assert!(
            matches!(&error, StoreError::OtherHistory(found) if found.contains(why)),
            "{error:?}"
        );
        let error = store.head().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::OtherHistory(found) if found.contains(why)),
            "{error:?}"
        );
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM event_store.events WHERE position > 3",
        );
        assert_eq!(count.fetch_one(&mut admin).await.unwrap(), 0);
    }
}
