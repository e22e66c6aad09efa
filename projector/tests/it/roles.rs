//! Who may do what in the database.

use std::sync::Arc;

use event_store::EventStore;
use sqlx::{Connection, PgConnection};

use crate::support::life::Life;
use crate::support::{
    append, contents, log_of, postgres_store, read_model, replayed, runner, whole_database,
};

async fn refused(url: &str, statement: &'static str) -> Option<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let error = sqlx::query(statement).execute(&mut connection).await.err()?;
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(Into::into)
}

#[tokio::test]
async fn the_readers_role_reads_everything_and_writes_nothing() {
    let database = read_model().await;
    let reader = database.url_in_group("read_model_reader").await;
    for read in [
        "SELECT FROM read_model.users",
        "SELECT FROM users_g1.users",
        "SELECT FROM read_model.checkpoints",
        "SELECT FROM read_model.generations",
    ] {
        assert_eq!(refused(&reader, read).await, None, "{read}");
    }
    for write in [
        "INSERT INTO read_model.daily_sales VALUES ('1997-01-01', 'USD', 1, 1, 1, 1, 1, 1)",
        "UPDATE read_model.users SET name = 'x'",
        "DELETE FROM users_g1.users",
        "TRUNCATE orders_g1.orders",
        "UPDATE read_model.checkpoints SET position = 0",
        "UPDATE read_model.leases SET term = 0",
        "DELETE FROM read_model.generations",
        "CREATE TABLE read_model.mine ()",
        "SELECT read_model.drop_generation('users', 1)",
    ] {
        assert_eq!(refused(&reader, write).await.as_deref(), Some("42501"), "{write}");
    }
}

#[tokio::test]
async fn who_asked_for_what_and_why_is_not_for_readers() {
    let database = read_model().await;
    let reader = database.url_in_group("read_model_reader").await;
    for read in ["SELECT FROM read_model.operations", "SELECT FROM read_model.pauses"] {
        assert_eq!(refused(&reader, read).await.as_deref(), Some("42501"), "{read}");
    }
}

#[tokio::test]
async fn the_owners_role_projects_and_cannot_touch_the_log() {
    let database = whole_database().await;
    let owner = database.url_in_group("read_model_owner").await;
    let log = log_of(Life::new(5).goes_on(60)).await;
    runner(Arc::clone(&log) as Arc<dyn EventStore>, &owner).run_once().await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(log).await);
    append(postgres_store(database.url()).await.as_ref(), Life::new(6).goes_on(3)).await;
    for statement in [
        "DELETE FROM event_store.events",
        "UPDATE event_store.events SET position = 9",
        "SELECT FROM event_store.events",
    ] {
        assert_eq!(refused(&owner, statement).await.as_deref(), Some("42501"), "{statement}");
    }
}

#[tokio::test]
async fn the_readers_of_the_log_can_project_it_but_not_write_it() {
    let database = whole_database().await;
    append(postgres_store(database.url()).await.as_ref(), Life::new(6).goes_on(30)).await;
    let reader = database.url_in_group("event_store_reader").await;
    let store = postgres_store(&reader).await;
    runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url()).run_once().await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(store).await);
    assert_eq!(refused(&reader, "DELETE FROM event_store.events").await.as_deref(), Some("42501"));
}
