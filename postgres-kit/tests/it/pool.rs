//! The pool: deadlines, broken connections, and waiting.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::join_all;
use local_servers::{Stopped, in_time, until_within};
use postgres_kit::{Pool, PoolSettings, is_silent};
use sqlx::{Connection as _, PgConnection};

use crate::support::{LIMIT, SLACK, backend, database, options};

/// Runs `count` calls at once, each on its own connection, and returns the backends' process ids.
async fn backends(pool: &Pool, count: usize) -> Vec<i32> {
    let barrier = tokio::sync::Barrier::new(count);
    let calls = (0..count).map(|_| {
        pool.run(async |raw: &mut PgConnection| {
            let pid = backend(&mut *raw).await;
            in_time("the other calls", barrier.wait()).await;
            Ok::<_, sqlx::Error>(pid)
        })
    });
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

/// Waits until all connections are back in the pool.
async fn returned(pool: &Pool) {
    until_within(SLACK, "connections come back", async || pool.idle() >= pool.size()).await;
}

#[tokio::test]
async fn one_silent_connection_costs_one_caller_its_limit_and_nobody_else() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(2, SLACK, LIMIT));
    let pids = backends(&pool, 2).await;
    returned(&pool).await;
    // Both were used a moment ago, so neither is pinged before its next use.
    let stopped = Stopped::stop(pids);
    let started = Instant::now();
    let error = sqlx::query("SELECT 1").execute(&pool).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    // The other connection was idle before the silence, so it is not reused.
    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
    assert!(started.elapsed() < 2 * LIMIT + SLACK, "{:?}", started.elapsed());
    drop(stopped);
}

#[tokio::test]
async fn no_connection_that_is_open_when_all_are_replaced_is_used_again() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(2, SLACK, LIMIT));
    let before = backends(&pool, 2).await;
    returned(&pool).await;
    let used = async |work: fn(&Pool)| {
        let pid = pool.run(async |raw: &mut PgConnection| {
            work(&pool);
            Ok::<_, sqlx::Error>(backend(&mut *raw).await)
        });
        pid.await.unwrap()
    };
    // One is in use then, and comes back later.
    assert!(before.contains(&used(Pool::renew).await));
    returned(&pool).await;
    let after = backends(&pool, 2).await;
    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    returned(&pool).await;
    assert!(after.contains(&used(|_| {}).await), "new ones are used again");
}

#[tokio::test]
async fn rows_that_stop_coming_end_their_stream_in_time_and_free_the_place() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, SLACK, LIMIT));
    let pids = backends(&pool, 1).await;
    returned(&pool).await;
    let stopped = Stopped::stop(pids);
    let mut rows = sqlx::query("SELECT 1").fetch(&pool);
    let error = in_time("the end of the stream", rows.try_next()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    drop(rows);
    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
    drop(stopped);
}

#[tokio::test]
async fn a_caller_that_gives_up_frees_its_place_at_once() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, SLACK, Duration::from_mins(1)));
    let slow = sqlx::query("SELECT pg_sleep(30)").execute(&pool);
    assert!(tokio::time::timeout(Duration::from_millis(200), slow).await.is_err());
    let started = Instant::now();
    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_falls_silent_on_its_way_back_does_not_keep_its_place() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, 2 * SLACK, LIMIT));
    let mut stopped = None;
    // After a call that failed, the connection is asked whether it is alive.
    let failed: sqlx::Result<()> = pool
        .run(async |raw: &mut PgConnection| {
            stopped = Some(Stopped::stop([backend(&mut *raw).await]));
            Err(sqlx::Error::RowNotFound)
        })
        .await;
    assert!(failed.is_err());
    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
    drop(stopped);
}

#[tokio::test]
async fn a_connection_that_falls_silent_after_its_call_fails_the_next_and_no_more() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, 2 * SLACK, LIMIT));
    let stopped = pool
        .run(async |raw: &mut PgConnection| {
            Ok::<_, sqlx::Error>(Stopped::stop([backend(&mut *raw).await]))
        })
        .await
        .unwrap();
    let silent = sqlx::query("SELECT 1").execute(&pool).await;
    assert!(is_silent(&silent.unwrap_err()));
    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
    drop(stopped);
}

#[tokio::test]
async fn calls_share_a_connection_and_one_with_an_open_transaction_is_rolled_back_first() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, SLACK, LIMIT));
    let backend = async || {
        let pid = async |raw: &mut PgConnection| Ok::<_, sqlx::Error>(backend(raw).await);
        pool.run(pid).await.unwrap()
    };
    let first = backend().await;
    assert_eq!((backend().await, pool.idle(), pool.size()), (first, 1, 1));
    let open: sqlx::Result<()> = pool
        .run(async |raw: &mut PgConnection| {
            // Dropping the transaction only notes that it is to be rolled back.
            let mut transaction = raw.begin().await?;
            sqlx::raw_sql("CREATE TABLE given_up ()").execute(&mut *transaction).await?;
            Ok(())
        })
        .await;
    open.unwrap();
    let is_there = sqlx::query_scalar::<_, bool>("SELECT to_regclass('given_up') IS NOT NULL");
    assert!(!is_there.fetch_one(&pool).await.unwrap());
    assert_eq!(backend().await, first);
}

#[tokio::test]
async fn a_transaction_that_is_given_up_leaves_nothing_to_the_next() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, SLACK, LIMIT));
    let given_up: sqlx::Result<()> = pool
        .run(async |raw: &mut PgConnection| {
            sqlx::query("BEGIN").execute(&mut *raw).await?;
            sqlx::query("SELECT pg_sleep(10)").execute(&mut *raw).await?;
            Ok(())
        })
        .await;
    assert!(is_silent(&given_up.unwrap_err()));
    // If a transaction were still open, no other connection would ever see this table.
    sqlx::raw_sql("CREATE TABLE outside_of_any_transaction ()").execute(&pool).await.unwrap();
    let another = Pool::new(options(&database), PoolSettings::new(1, SLACK, SLACK));
    let seen = sqlx::query_scalar::<_, bool>(
        "SELECT to_regclass('outside_of_any_transaction') IS NOT NULL",
    );
    assert!(seen.fetch_one(&another).await.unwrap());
}

#[tokio::test]
async fn a_full_pool_answers_within_its_acquire_limit() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(1, LIMIT, SLACK));
    let slow = sqlx::query("SELECT pg_sleep(2)").execute(&pool);
    let started = Instant::now();
    let (slow, other) = tokio::join!(slow, async {
        backend_busy(&pool).await;
        sqlx::query("SELECT 1").execute(&pool).await
    });
    slow.unwrap();
    assert!(is_silent(&other.unwrap_err()));
    assert!(started.elapsed() < Duration::from_secs(2) + SLACK);
}

/// A pool of one connection with this wait limit.
fn narrow(database: &local_servers::TestDatabase, wait_limit: Duration) -> Pool {
    let settings = PoolSettings { wait_limit, ..PoolSettings::new(1, LIMIT, SLACK) };
    Pool::new(options(database), settings)
}

/// Runs ten calls at once, each a third of [`LIMIT`] long, once the pool is connected.
async fn ten_calls(pool: &Pool) -> Vec<sqlx::Result<()>> {
    let connected = async || sqlx::query("SELECT 1").execute(pool).await.is_ok();
    until_within(SLACK, "a connection", connected).await;
    let calls = (0..10)
        .map(|_| async { sqlx::query("SELECT pg_sleep(0.1)").execute(pool).await.map(drop) });
    join_all(calls).await
}

#[tokio::test]
async fn a_busy_pool_is_not_a_silent_one_its_callers_wait_for_as_long_as_others_are_answered() {
    let database = database().await;
    let pool = narrow(&database, Duration::from_mins(1));
    let started = Instant::now();
    for called in ten_calls(&pool).await {
        called.unwrap();
    }
    assert!(started.elapsed() > 2 * LIMIT, "nobody waited long: {:?}", started.elapsed());
}

#[tokio::test]
async fn nobody_waits_longer_for_a_busy_pool_than_its_wait_limit() {
    let database = database().await;
    let pool = narrow(&database, 2 * LIMIT);
    let (answered, refused): (Vec<_>, Vec<_>) =
        ten_calls(&pool).await.into_iter().partition(Result::is_ok);
    assert!(!answered.is_empty() && !refused.is_empty(), "{} of 10 were answered", answered.len());
    for error in refused {
        assert!(is_silent(&error.unwrap_err()));
    }
}

#[tokio::test]
async fn who_asks_how_the_server_is_does_not_wait_behind_others() {
    let database = database().await;
    let pool = narrow(&database, SLACK);
    let slow = sqlx::query("SELECT pg_sleep(1)").execute(&pool);
    let started = Instant::now();
    let (slow, asked) = tokio::join!(slow, async {
        backend_busy(&pool).await;
        sqlx::query("SELECT 1").execute(&pool.past_the_queue()).await.map(|_| started.elapsed())
    });
    slow.unwrap();
    let (asked, all) = (asked.unwrap(), started.elapsed());
    assert!(asked < Duration::from_secs(1), "{asked:?} of {all:?}");
}

#[tokio::test]
async fn a_pool_whose_every_connection_falls_silent_does_not_pass_for_a_busy_one() {
    let database = database().await;
    let limits = PoolSettings::new(2, SLACK, 2 * SLACK);
    let settings = PoolSettings { wait_limit: Duration::from_mins(1), ..limits };
    let pool = Pool::new(options(&database), settings);
    let pids = backends(&pool, 2).await;
    returned(&pool).await;
    let stopped = Stopped::stop(pids);
    let callers = (0..6).map(|_| async {
        let started = Instant::now();
        let error = sqlx::query("SELECT 1").execute(&pool).await.unwrap_err();
        assert!(is_silent(&error), "{error:?}");
        started.elapsed()
    });
    let mut waits = join_all(callers).await;
    waits.sort_unstable();
    // Two of the callers had a connection and waited for its answer.
    assert!(waits[3] < 2 * SLACK, "{waits:?}");
    drop(stopped);
}

#[tokio::test]
async fn who_waits_for_a_pool_that_is_closed_is_told_at_once() {
    let database = database().await;
    let pool = narrow(&database, Duration::from_mins(1));
    let slow = sqlx::query("SELECT pg_sleep(1)").execute(&pool);
    let started = Instant::now();
    let waits = async {
        backend_busy(&pool).await;
        let error = sqlx::query("SELECT 1").execute(&pool).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::PoolClosed), "{error:?}");
        started.elapsed()
    };
    let closes = async {
        backend_busy(&pool).await;
        pool.close().await;
        started.elapsed()
    };
    let (slow, waited, closed) = tokio::join!(slow, waits, closes);
    slow.unwrap();
    assert!(waited < closed, "{waited:?} of {closed:?}");
}

#[tokio::test]
async fn callers_that_give_up_at_any_moment_take_no_place_along() {
    let database = database().await;
    let pool = Pool::new(options(&database), PoolSettings::new(3, SLACK, SLACK));
    for number in 0..60 {
        let calls = (0..8).map(|call| {
            let limit = Duration::from_micros(number * 150 + call * 70);
            tokio::time::timeout(limit, sqlx::query("SELECT 1").execute(&pool))
        });
        join_all(calls).await;
    }
    assert_eq!(backends(&pool, 3).await.len(), 3);
}

/// Waits until the pool's only connection is in use.
async fn backend_busy(pool: &Pool) {
    let since = Instant::now();
    while pool.size() == 0 || pool.idle() > 0 {
        assert!(since.elapsed() < SLACK, "no call is running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
