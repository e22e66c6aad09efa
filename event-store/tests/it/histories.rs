//! Histories of many concurrent clients against the real store, while clients and Postgres are
//! killed with -9. Our own checker checks them for I1 to I6 and I12, and so does `adya` (T5, T7).
//! Our own checker must also catch bugs planted in the append function, so that finding nothing
//! means something.

use std::time::{Duration, Instant};

use event_store::{EventStore, Filter, Position, PostgresStore};
use local_servers::{ClusterOptions, PostgresCluster, test_run};
use rand::Rng;

use crate::history::{Answer, Entry, History, check};
use crate::support::{connect, random};

mod adya;
mod client;
mod planted;
mod process;

/// The number of client processes.
const PROCESSES: usize = 2;
/// One in this many kills is of Postgres.
const POSTGRES_IN: u64 = 4;
/// The number of new events required between two kills.
const BETWEEN_KILLS: i64 = 120;
/// The maximum time without a new event.
const STANDSTILL: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_to_i6_and_i12_hold_while_clients_and_postgres_are_killed() {
    let run = test_run();
    let kills = run.count(8, 500);
    let mut random = random();
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    event_store::postgres::migrate(&cluster.url()).await.unwrap();
    let mut processes = process::Processes::start(cluster.url(), PROCESSES, run.seed);
    let (began, mut of_postgres, mut last) = (Instant::now(), 0, 0);
    for _ in 0..kills {
        last = grown(&cluster.url(), last + random.random_range(1..=BETWEEN_KILLS)).await;
        if random.random_range(0..POSTGRES_IN) == 0 {
            of_postgres += 1;
            cluster.kill().await;
            cluster.start_again().await;
        } else {
            processes.kill_one(random.random_range(0..PROCESSES)).await;
        }
    }
    grown(&cluster.url(), last + BETWEEN_KILLS).await;
    let lines = processes.finish().await;
    let store = connect(&cluster.url()).await;
    let history = History::new(log(&store).await, lines);
    let ran = began.elapsed();
    eprintln!("{kills} kills -9, {of_postgres} of them of Postgres, in {:.1} s", ran.as_secs_f64());
    hold(&history);
    drop(store);
    cluster.stop().await;
}

/// Fails if a checker finds a violation.
fn hold(history: &History) {
    tell(history);
    let began = Instant::now();
    let violations = check(history);
    let ours = began.elapsed();
    assert!(
        violations.is_empty(),
        "{} violations, the first: {:#?}",
        violations.len(),
        &violations[..violations.len().min(5)]
    );
    let began = Instant::now();
    let anomalies = adya::anomalies(history);
    eprintln!(
        "checked in {:.2} s, by adya in {:.2} s",
        ours.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    assert!(anomalies.is_empty(), "{anomalies:?}");
}

fn tell(history: &History) {
    let count = |is: fn(Option<&Answer>) -> bool| {
        history.operations.iter().filter(|one| is(one.answer())).count()
    };
    eprintln!(
        "{} events; {} operations: {} appended, {} repeated, {} refused, {} failed, {} without an \
            answer, {} reads",
        history.log.len(),
        history.operations.len(),
        count(|answer| matches!(answer, Some(Answer::Appended(_)))),
        count(|answer| matches!(answer, Some(Answer::Repeated(_)))),
        count(|answer| matches!(answer, Some(Answer::Refused(_)))),
        count(|answer| matches!(answer, Some(Answer::Failed(_)))),
        count(|answer| matches!(answer, None | Some(Answer::Unknown(_)))),
        count(|answer| matches!(answer, Some(Answer::Read(_)))),
    );
}

/// Waits until the log's head reaches this position.
async fn grown(url: &str, head: i64) -> i64 {
    let deadline = Instant::now() + STANDSTILL;
    loop {
        if let Ok(store) = PostgresStore::connect(crate::support::options(url)).await
            && let Ok(now) = store.head().await
            && now.mark.position.0 >= head
        {
            return now.mark.position.0;
        }
        assert!(Instant::now() < deadline, "the log did not grow to {head} in {STANDSTILL:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads the whole log.
async fn log(store: &PostgresStore) -> Vec<Entry> {
    let mut log = Vec::new();
    loop {
        let after = log.last().map_or(Position::START, |entry: &Entry| Position(entry.position));
        let page = store.read(&Filter::All, after, 5_000).await.unwrap();
        if page.is_empty() {
            return log;
        }
        log.extend(page.into_iter().map(|event| Entry {
            position: event.position.0,
            stream: event.stream,
            version: event.version.0,
            id: event.id,
            tags: event.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        }));
    }
}
