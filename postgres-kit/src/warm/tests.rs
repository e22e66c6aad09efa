//! Tests of what happens to connections between two calls.
#![allow(clippy::unwrap_used, reason = "tests")]
use futures::future::join_all;
use local_servers::{TestDatabase, in_time, until_within};
use sqlx::PgConnection;
use tokio::sync::Barrier;

use crate::{Pool, PoolSettings};

use super::*;

/// The limit of each call, and of each wait.
const LIMIT: Duration = Duration::from_secs(10);
/// The number of calls at once.
const CALLS: usize = 4;

/// Runs so many calls at once, each on its own connection, and returns the backends' process ids.
async fn burst(pool: &Pool) -> Vec<i32> {
    let barrier = Barrier::new(CALLS);
    let calls = (0..CALLS).map(|_| {
        pool.run(async |raw: &mut PgConnection| {
            let backend = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
            let backend = backend.fetch_one(raw).await;
            in_time("the other calls", barrier.wait()).await;
            backend
        })
    });
    let mut backends: Vec<i32> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    backends.sort_unstable();
    backends
}

#[tokio::test]
async fn connections_that_wait_go_back_by_themselves_so_that_a_burst_finds_them_ready() {
    let database = TestDatabase::create("empty", "1", |_| async { Ok(()) }).await;
    let most = u32::try_from(CALLS).unwrap();
    let settings = PoolSettings::new(most, LIMIT, LIMIT);
    let pool = Pool::new(database.url().parse().unwrap(), settings);
    let before = burst(&pool).await;
    let waiting = || pool.warm.len();
    until_within(LIMIT, "all calls to end", async || waiting() == CALLS).await;
    // Nobody asks for a connection meanwhile, and asking would give them back, too.
    let returned = async || waiting() == 0 && pool.warm.shared.num_idle() == CALLS;
    until_within(3 * WARM + RETURN_LIMIT, "all connections to go back", returned).await;
    assert_eq!(pool.warm.state().returning, 0);
    assert_eq!(burst(&pool).await, before, "no connection was opened for the burst");
}

#[tokio::test]
async fn connections_that_come_back_at_once_are_no_more_than_stay_open() {
    let database = TestDatabase::create("empty", "1", |_| async { Ok(()) }).await;
    let most = u32::try_from(CALLS).unwrap();
    let settings = PoolSettings { max_idle: 1, ..PoolSettings::new(most, LIMIT, LIMIT) };
    let pool = Pool::new(database.url().parse().unwrap(), settings);
    let before = burst(&pool).await;
    let waiting = std::mem::take(&mut pool.warm.state().waiting);
    pool.warm.give_all_back(waiting.into_iter().map(|one| one.taken)).await;
    let is_one = async || (pool.size(), pool.warm.shared.num_idle()) == (1, 1);
    until_within(LIMIT, "the others to be closed", is_one).await;
    let after = burst(&pool).await;
    assert_eq!(after.iter().filter(|backend| before.contains(backend)).count(), 1);
}
