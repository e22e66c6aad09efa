//! The number of a pool's connections: at most so many open, so many unused, and calls past the
//! queue.

use std::time::{Duration, Instant};

use futures::future::join_all;
use local_servers::{TestDatabase, in_time, until_within};
use postgres_kit::{Pool, PoolLimits, PoolSettings};
use sqlx::PgConnection;
use tokio::sync::Barrier;

use crate::support::{SLACK, backend, database, options};

/// A pool with these limits, named so that its connections can be counted.
fn pool(database: &TestDatabase, limits: PoolLimits) -> Pool {
    let options = options(database).application_name("counted");
    Pool::new(options, PoolSettings::of(limits, SLACK, SLACK))
}

/// The number of the pool's connections, as the server counts them.
async fn open(database: &TestDatabase) -> i64 {
    let asking = Pool::new(options(database), PoolSettings::new(1, SLACK, SLACK));
    let open = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'counted' AND datname = current_database()",
    );
    open.fetch_one(&asking).await.unwrap()
}

/// Runs so many calls at once, each on its own connection. Returns the server's process ids.
async fn at_once(pool: &Pool, calls: usize) -> Vec<i32> {
    let barrier = Barrier::new(calls);
    let calls = (0..calls).map(|_| {
        pool.run(async |raw: &mut PgConnection| {
            let pid = backend(&mut *raw).await;
            in_time("the other calls", barrier.wait()).await;
            Ok::<_, sqlx::Error>(pid)
        })
    });
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn after_a_burst_as_many_connections_stay_open_as_may_be_unused() {
    let database = database().await;
    let pool = pool(&database, PoolLimits::of(6, 2));
    for _ in 0..2 {
        at_once(&pool, 5).await;
        until_within(2 * SLACK, "the others to be closed", async || open(&database).await == 2)
            .await;
        assert_eq!((pool.size(), pool.idle()), (2, 2));
    }
}

#[tokio::test]
async fn a_pool_that_keeps_none_opens_one_for_each_call_that_needs_it() {
    let database = database().await;
    let pool = pool(&database, PoolLimits::of(2, 0));
    at_once(&pool, 1).await;
    until_within(2 * SLACK, "it to be closed", async || open(&database).await == 0).await;
    at_once(&pool, 1).await;
}

#[tokio::test]
async fn unused_connections_are_closed_after_their_time() {
    let database = database().await;
    let idle_limit = Duration::from_secs(2);
    let pool = pool(&database, PoolLimits { idle_limit, ..PoolLimits::of(6, 3) });
    at_once(&pool, 3).await;
    until_within(4 * idle_limit + SLACK, "all to be closed", async || open(&database).await == 0)
        .await;
}

#[tokio::test]
async fn a_connection_is_replaced_at_its_age_even_if_it_is_always_in_use() {
    let database = database().await;
    let lifetime = Duration::from_secs(1);
    let pool = pool(&database, PoolLimits { lifetime, ..PoolLimits::of(2, 1) });
    let first = at_once(&pool, 1).await;
    let replaced = async || at_once(&pool, 1).await != first;
    until_within(Duration::from_secs(20), "another connection", replaced).await;
}

#[tokio::test]
async fn calls_past_the_queue_take_turns_and_no_other_call_lacks_its_connection() {
    let database = database().await;
    let pool = pool(&database, PoolLimits::of(3, 3));
    let urgent = pool.past_the_queue();
    let all = Barrier::new(3);
    let started = Instant::now();
    // Two calls have all places, and one is past the queue: each has a connection.
    let busy = |pool: Pool| {
        let all = &all;
        async move {
            let called = pool.run(async |_: &mut PgConnection| {
                in_time("a connection for each call", all.wait()).await;
                Ok::<_, sqlx::Error>(())
            });
            called.await.unwrap();
        }
    };
    let turns = (0..6).map(|_| at_once(&urgent, 1));
    let (.., pids) =
        tokio::join!(busy(pool.clone()), busy(pool.clone()), busy(urgent.clone()), join_all(turns));
    assert_eq!(pids.len(), 6);
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert!(pool.size() <= 3, "{} connections", pool.size());
}

#[tokio::test]
async fn several_calls_past_the_queue_leave_the_others_their_connections() {
    let database = database().await;
    let pool = pool(&database, PoolLimits::of(3, 3));
    let slow = "SELECT pg_sleep(1)";
    let urgent = pool.past_the_queue();
    // Without turns, these would take two of the three connections.
    let asking = join_all((0..2).map(|_| sqlx::query(slow).execute(&urgent)));
    let others = async {
        until_within(SLACK, "a call past the queue", async || pool.size() > 0).await;
        let started = Instant::now();
        at_once(&pool, 2).await;
        started.elapsed()
    };
    let (asked, waited) = tokio::join!(asking, others);
    assert!(asked.into_iter().all(|asked| asked.is_ok()));
    assert!(waited < Duration::from_millis(900), "{waited:?}: they waited for a health check");
}
