//! A consumer that holds the lease and cannot work, or is about to.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;

use super::*;

#[tokio::test]
async fn a_consumer_that_cannot_read_the_log_leaves_the_work_to_one_that_can() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let readers = setup.world.database.url_in_group("event_store_relay").await;
    let (unable, able) = (Health::new(), Health::new());
    let store = open(&readers).await;
    let first = setup.worker_reading(&store, setup.tally(), LONG, (&unable, settings()));
    let first = Running::start(first);
    setup.handled(5).await;
    let second = Running::start(setup.worker(setup.tally(), LONG, &able));
    eventually("the second one stands by", async || able.report().ready).await;
    // The first one can still renew its lease, but its read connections end and cannot be replaced.
    // The limit does not affect superusers.
    let role = readers.parse::<PgConnectOptions>().unwrap().get_username().to_owned();
    let mut admin = PgConnection::connect(setup.world.database.url()).await.unwrap();
    let closed = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 0", setup.world.database.name());
    sqlx::raw_sql(AssertSqlSafe(closed)).execute(&mut admin).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND \
        datname = current_database()";
    sqlx::query(end).bind(&role).execute(&mut admin).await.unwrap();
    eventually("the first one says that it cannot", async || !unable.report().ready).await;
    setup.world.append(5).await;
    setup.handled(10).await;
    eventually("the second one works", async || able.report().ready).await;
    first.drain().await;
    second.drain().await;
}

#[tokio::test]
async fn a_consumer_that_is_drained_before_it_works_gives_up_its_lease_too() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let gate = Gate::closed(At::Take);
    let first = Running::start(setup.worker(setup.gated(&gate), LONG, &Health::new()));
    gate.reached().await;
    first.drain().await;
    let second = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    setup.handled(5).await;
    second.drain().await;
}
