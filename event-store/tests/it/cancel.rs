//! Callers that give up at any moment, 10,000 of them. No connection stays in a transaction or is
//! lost to the pool, and no append is lost or made twice (F1, F2; I2, I5).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_store::{
    Append, AppendCondition, EventStore, Filter, Position, PostgresStore, StoreError,
};
use local_servers::test_run;
use rand::Rng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::support::{
    appended, check_dense, connect, database, key, one, options, plain, query, random,
};

/// The number of concurrent callers.
const CALLERS: u64 = 6;
/// The size of each of the two read pools.
const READS: u32 = 4;
/// The maximum time that a connection may be idle in a transaction.
const IDLE: Duration = Duration::from_secs(1);
/// The application name of the watched store.
const NAME: &str = "event-store cancelled";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_p4_callers_that_go_away_at_any_moment_leave_nothing_open_and_no_append_lost_or_doubled()
{
    let wanted = test_run().count(400, 10_000);
    let database = database().await;
    let limited = options(database.url()).application_name(NAME).read_connections(READS);
    let store = PostgresStore::connect(limited).await.unwrap();
    let (given_up, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watcher = tokio::spawn(watch(plain(database.url()).await, Arc::clone(&done)));
    let callers = (0..CALLERS).map(|number| {
        let mut random = random();
        let caller = Caller {
            store: store.clone(),
            random: rand::SeedableRng::seed_from_u64(random.random::<u64>().wrapping_add(number)),
            acknowledged: HashMap::new(),
            asked: 0,
        };
        let given_up = Arc::clone(&given_up);
        tokio::spawn(caller.run(number, given_up, wanted))
    });
    let mut acknowledged = HashMap::new();
    let mut asked = 0;
    for caller in callers.collect::<Vec<_>>() {
        let caller = caller.await.unwrap();
        acknowledged.extend(caller.acknowledged);
        asked += caller.asked;
    }
    let last = appended(store.append(one("last")).await.unwrap()).last.position;
    done.store(true, Ordering::SeqCst);
    let (looks, most) = watcher.await.unwrap();
    assert!(
        most <= i64::from(2 * READS) + 1,
        "{most} connections, more than the pools and the one for appends"
    );
    // All connections of the pool are still available at once.
    let reads = (0..READS).map(|_| prompt_read(&store));
    futures::future::join_all(reads).await;
    assert_eq!(check_dense(&connect(database.url()).await).await, last);
    let there = once_each(&store, &acknowledged).await;
    eprintln!(
        "{asked} callers, {} gave up; {} appends acknowledged, {there} in the log; {looks} looks \
            at the server",
        given_up.load(Ordering::SeqCst),
        acknowledged.len()
    );
}

struct Caller {
    store: PostgresStore,
    random: StdRng,
    acknowledged: HashMap<Uuid, Position>,
    asked: u64,
}

impl Caller {
    async fn run(mut self, number: u64, given_up: Arc<AtomicU64>, wanted: u64) -> Self {
        while given_up.load(Ordering::SeqCst) < wanted {
            self.asked += 1;
            let append = self.append(number);
            let id = append.streams[0].events[0].id;
            let both = async {
                tokio::join!(
                    self.store.append(append.clone()),
                    self.store.read(&Filter::All, Position::START, 10)
                )
            };
            let patience =
                patience(self.random.random_range(0..2), self.random.random_range(0..400));
            let answer = tokio::select! {
                biased;
                answer = both => Some(answer),
                () = patience => None,
            };
            if let Some((outcome, read)) = answer {
                read.unwrap();
                self.acknowledged.insert(id, appended(outcome.unwrap()).last.position);
                continue;
            }
            given_up.fetch_add(1, Ordering::SeqCst);
            // Some callers repeat the append, and must get the result of the first.
            if self.random.random_bool(0.3) {
                let outcome = self.store.append(append).await.unwrap();
                self.acknowledged.insert(id, appended(outcome).last.position);
            }
        }
        self
    }

    /// Makes an append of one event. Some have a key, some a condition that always holds, for more
    /// steps at which to give up.
    fn append(&mut self, number: u64) -> Append {
        let mut append = one(format!("{number}-{}", self.asked % 5));
        if self.random.random_bool(0.3) {
            let mut idempotency = key(0, 1, "1");
            idempotency.key[..16].copy_from_slice(append.streams[0].events[0].id.as_bytes());
            append.idempotency = Some(idempotency);
        }
        if self.random.random_bool(0.3) {
            append
                .conditions
                .push(AppendCondition { query: query(&[], &["nobody:1"]), after: Position::START });
        }
        append
    }
}

/// Waits from no time at all to some milliseconds. It counts scheduler turns, which are finer than
/// the clock, or uses the clock.
async fn patience(kind: u8, random_length: u64) {
    if kind == 0 {
        for _ in 0..random_length {
            tokio::task::yield_now().await;
        }
    } else {
        tokio::time::sleep(Duration::from_micros(random_length * 8)).await;
    }
}

/// Watches the store's connections. Returns the number of checks and the maximum number of
/// connections. None may be idle in a transaction for long.
async fn watch(mut admin: PgConnection, done: Arc<AtomicBool>) -> (u64, i64) {
    let open = format!(
        "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND \
            state_change < clock_timestamp() - interval '{} ms')
         FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{NAME}'",
        IDLE.as_millis()
    );
    let (mut looks, mut most) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        let look =
            sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(open.clone())).fetch_one(&mut admin);
        let (all, idle) = look.await.unwrap();
        assert_eq!(idle, 0, "a connection idles in a transaction");
        (looks, most) = (looks + 1, most.max(all));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (looks, most)
}

/// Reads, and requires a connection and an answer soon.
async fn prompt_read(store: &PostgresStore) {
    let since = Instant::now();
    let read: Result<_, StoreError> = store.read(&Filter::All, Position::START, 1_000).await;
    read.unwrap();
    assert!(since.elapsed() < Duration::from_secs(5));
}

/// Checks that every acknowledged append is at its position and that no event is there twice.
/// Returns the number of events.
async fn once_each(store: &PostgresStore, acknowledged: &HashMap<Uuid, Position>) -> usize {
    let mut found = HashMap::new();
    let mut after = Position::START;
    loop {
        let page = store.read(&Filter::All, after, 5_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.position;
        for event in page {
            assert_eq!(found.insert(event.id, event.position), None, "doubled");
        }
    }
    for (id, position) in acknowledged {
        assert_eq!(
            found.get(id),
            Some(position),
            "an acknowledged event is lost or at another position"
        );
    }
    found.len()
}
