//! [`Connection`](postgres_kit::Connection): deadlines and closed connections.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use local_servers::{Stopped, in_time};
use postgres_kit::{Connection, is_silent};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use crate::support::{LIMIT, SLACK, backend, database, options};

#[tokio::test]
async fn a_call_to_a_stopped_backend_ends_in_time_and_takes_the_connection_with_it() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, LIMIT).await.unwrap();
    let stopped = Stopped::stop([backend(&mut connection).await]);
    let started = Instant::now();
    let call = sqlx::query("SELECT 1").execute(&mut connection);
    let error = in_time("the end of the call", call).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    assert!(started.elapsed() < LIMIT + SLACK, "{:?}", started.elapsed());
    assert!(!connection.is_open());
    drop(stopped);
    let error = sqlx::query("SELECT 1").execute(&mut connection).await.unwrap_err();
    assert!(!is_silent(&error), "it fails at once: {error:?}");
}

#[tokio::test]
async fn a_server_that_takes_a_connection_and_says_nothing_is_left_in_time() {
    // The kernel accepts the connection, but nothing reads from it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let options = PgConnectOptions::new().host("127.0.0.1").port(address.port());
    let opening = Box::pin(Connection::open(&options, LIMIT, SLACK));
    let opened = in_time("the end of the attempt", opening).await;
    assert!(is_silent(&opened.unwrap_err()));
}

#[tokio::test]
async fn rows_that_stop_coming_end_their_stream_in_time_and_take_the_connection_with_it() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, LIMIT).await.unwrap();
    let stopped = Stopped::stop([backend(&mut connection).await]);
    let mut rows = sqlx::query("SELECT 1").fetch(&mut connection);
    let error = in_time("the end of the stream", rows.try_next()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    drop((stopped, rows));
    assert!(!connection.is_open());
}

#[tokio::test]
async fn a_call_that_its_caller_drops_takes_the_connection_with_it() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, SLACK).await.unwrap();
    let slow = sqlx::query("SELECT pg_sleep(10)").execute(&mut connection);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    assert!(!connection.is_open(), "its state is unknown");
}

#[tokio::test]
async fn several_statements_share_one_deadline_and_may_borrow() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, LIMIT).await.unwrap();
    let naps = vec![0.2_f64; 3];
    let done: sqlx::Result<()> = connection
        .run(async |raw: &mut PgConnection| {
            for nap in &naps {
                sqlx::query("SELECT pg_sleep($1)").bind(nap).execute(&mut *raw).await?;
            }
            Ok(())
        })
        .await;
    assert!(is_silent(&done.unwrap_err()), "each is short, but the sum is not");
    assert!(!connection.is_open());
}

#[tokio::test]
async fn a_refused_statement_leaves_the_connection_open() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, SLACK).await.unwrap();
    sqlx::query("SELECT 1 / 0").execute(&mut connection).await.unwrap_err();
    assert!(connection.is_open());
    connection.ping().await.unwrap();
    connection.close().await;
}

#[tokio::test]
async fn a_stream_may_take_longer_than_the_limit_as_long_as_rows_come() {
    let database = database().await;
    let mut connection = Connection::open(&options(&database), SLACK, LIMIT).await.unwrap();
    let mut rows = sqlx::query_scalar::<_, i32>("SELECT n FROM generate_series(1, 5) n")
        .fetch(&mut connection);
    let mut seen = 0;
    while let Some(n) = rows.try_next().await.unwrap() {
        seen += n;
        // The reader is slower than the limit, which is the server's deadline and not the reader's.
        tokio::time::sleep(LIMIT / 2).await;
    }
    drop(rows);
    assert_eq!(seen, 15);
    assert!(connection.is_open());
}
