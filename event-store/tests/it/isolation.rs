//! Other isolation levels: the procedure returns an error and never breaks a condition.

use event_store::postgres::append_batch;
use event_store::{Append, EventStore, Position, ReservationChange, StoreError};
use sqlx::AssertSqlSafe;

use crate::support::{
    appended, check_dense, connect, database, one, plain, reservation, sqlstate, stream,
};

#[tokio::test]
async fn the_procedure_refuses_every_level_but_read_committed() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    for level in ["repeatable read", "serializable"] {
        let set = format!("SET default_transaction_isolation = '{level}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await.unwrap();
        let error = append_batch(&mut connection, vec![one("a")]).await.unwrap_err();
        let StoreError::Database(error) = error else { panic!("{error:?}") };
        assert_eq!(sqlstate(&error), "DB001", "{level}");
    }
    sqlx::raw_sql("SET default_transaction_isolation = 'read committed'")
        .execute(&mut connection)
        .await
        .unwrap();
    append_batch(&mut connection, vec![one("a")]).await.unwrap();
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(1));
}

#[tokio::test]
async fn the_procedure_refuses_a_session_that_could_look_names_up_elsewhere() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let reserving = Append {
        reservations: vec![ReservationChange::Take {
            reservation: reservation(1),
            owner: stream("b"),
        }],
        ..one("b")
    };
    for path in ["", "public, pg_catalog", "pg_temp, pg_catalog"] {
        sqlx::query("SELECT set_config('search_path', $1, false)")
            .bind(path)
            .execute(&mut connection)
            .await
            .unwrap();
        for append in [one("a"), reserving.clone()] {
            let error = append_batch(&mut connection, vec![append]).await.unwrap_err();
            let StoreError::Database(error) = error else { panic!("{error:?}") };
            assert_eq!(sqlstate(&error), "DB001", "{path}");
        }
    }
    assert_eq!(check_dense(&connect(database.url()).await).await, Position::START);
}

#[tokio::test]
async fn the_store_appends_whatever_level_the_database_has_as_its_default() {
    for level in ["repeatable read", "serializable"] {
        let database = database().await;
        let mut admin = plain(database.url()).await;
        let set = format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{level}'",
            database.name()
        );
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
        let store = connect(database.url()).await;
        appended(store.append(one("a")).await.unwrap());
    }
}

#[tokio::test]
async fn a_call_inside_an_explicit_transaction_is_refused() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
    let error = append_batch(&mut connection, vec![one("a")]).await.unwrap_err();
    let StoreError::Database(error) = error else { panic!("{error:?}") };
    assert_eq!(sqlstate(&error), "2D000");
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    assert_eq!(check_dense(&connect(database.url()).await).await, Position::START);
}
