//! The limits of rounds: what is refused, what ends in time, and how large the next one may be.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::pin::pin;
use std::sync::mpsc;

use futures::future::join_all;
use local_servers::{TestDatabase, in_time, until};
use postgres_kit::PoolSettings;
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{advance, sleep};

use super::*;
use crate::postgres::{migrate, schema_fingerprint};
use crate::stream::ExpectedVersion;
use crate::test_kit::{append_to, appended, metadata, stream};
use crate::{EventStore as _, NewEvent, PostgresOptions, PostgresStore};

const MOMENT: Duration = Duration::from_millis(1);

/// Reads without a server.
fn tails() -> Tails {
    let nowhere = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1);
    let limit = Duration::from_secs(1);
    let pool = Pool::new(nowhere, PoolSettings::new(1, limit, limit));
    Tails::new(pool, Arc::new(Continuity::new(None)))
}

/// Takes the places of all rows of rounds, so that no round begins.
fn hang(tails: &Tails) {
    tails.gathered().rows = (0..MAX_ROWS).map(|_| (u64::MAX, Instant::now())).collect();
}

fn request() -> (Request, oneshot::Receiver<Answer>) {
    let (answer, answered) = oneshot::channel();
    (Request { stream: "thing-1".to_owned(), after: 0, answer }, answered)
}

#[tokio::test(start_paused = true)]
async fn a_read_whose_round_never_comes_ends_in_time() {
    let tails = tails();
    hang(&tails);
    let began = Instant::now();
    let read = tails.read(&stream("1"), Version::NONE).await;
    assert!(matches!(read, Err(None)), "{read:?}");
    let took = began.elapsed();
    assert!((LIMIT..=LIMIT + 2 * PATIENCE).contains(&took), "{took:?}");
    assert_eq!(tails.gathered().rows.len(), MAX_ROWS, "no more rows begin");
}

#[tokio::test]
async fn a_read_that_finds_too_many_waiting_reads_alone() {
    let tails = tails();
    hang(&tails);
    let mut waiting = Vec::new();
    for _ in 0..MAX_WAITING {
        let (request, answered) = request();
        assert!(tails.join(request));
        waiting.push(answered);
    }
    let read = tails.read(&stream("1"), Version::NONE).await;
    assert!(matches!(read, Ok(Tail::Unread)), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn another_row_begins_when_those_in_flight_are_slow_and_there_is_room() {
    let mut gathered =
        Gathered { waiting: Vec::new(), streams: FIRST_STREAMS, rows: Vec::new(), last_id: 0 };
    for id in 0..MAX_ROWS {
        assert!(gathered.may_begin(), "{id}");
        gathered.rows.push((u64::try_from(id).unwrap(), Instant::now()));
        assert!(!gathered.may_begin(), "the last one is not slow yet: {id}");
        advance(PATIENCE + MOMENT).await;
    }
    assert!(!gathered.may_begin(), "there are enough");
    gathered.end(1);
    assert!(gathered.may_begin());
}

#[tokio::test]
async fn a_round_takes_as_many_as_it_may_without_those_who_left() {
    let tails = tails();
    hang(&tails);
    let mut waiting = Vec::new();
    for number in 0..=2 * FIRST_STREAMS {
        let (request, answered) = request();
        assert!(tails.join(request));
        if number % 2 == 0 {
            waiting.push(answered);
        }
    }
    tails.gathered().rows = vec![(7, Instant::now())];
    let rounds = Rounds { tails: tails.clone(), id: 7 };
    let counts = std::iter::from_fn(|| rounds.next()).map(|round| round.len());
    assert_eq!(counts.collect::<Vec<_>>(), [FIRST_STREAMS, 1]);
    assert_eq!(tails.gathered().rows, [], "the row ended");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_panics_makes_room_and_its_reads_read_alone() {
    let tails = tails();
    tails.gathered().rows = vec![(7, Instant::now())];
    let name = stream("1");
    let mut read = pin!(tails.read(&name, Version::NONE));
    assert!(futures::poll!(read.as_mut()).is_pending());
    let rounds = Rounds { tails: tails.clone(), id: 7 };
    let round = rounds.next().unwrap();
    drop((round, rounds));
    assert_eq!(tails.gathered().rows, []);
    let read = read.await;
    assert!(matches!(read, Ok(Tail::Unread)), "{read:?}");
}

/// A runtime that has shut down drops a task that is spawned, and what the task holds, at once.
#[test]
fn a_read_during_the_shutdown_of_its_runtime_does_not_hang() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (tails, handle) = (tails(), runtime.handle().clone());
    drop(runtime);
    let (done, joined) = mpsc::channel();
    std::thread::spawn(move || {
        let _entered = handle.enter();
        tails.join(request().0);
        done.send(tails.gathered().rows.len()).unwrap();
    });
    assert_eq!(joined.recv_timeout(Duration::from_secs(30)).unwrap(), 0);
}

#[test]
fn full_and_short_rounds_grow_and_long_ones_shrink() {
    let mut gathered =
        Gathered { waiting: Vec::new(), streams: FIRST_STREAMS, rows: Vec::new(), last_id: 0 };
    for (took, streams, next) in [
        (MOMENT, 8, 16),
        (MOMENT, 15, 16),
        (SHORT_ROUND, 16, 16),
        (LONG_ROUND, 16, 16),
        (LONG_ROUND + MOMENT, 16, 8),
        (Duration::MAX, 5, 3),
        (Duration::MAX, 1, 1),
        (Duration::MAX, 1, 1),
        (MOMENT, 1, 2),
        (MOMENT, 2, 4),
        (Duration::MAX, 128, 4),
    ] {
        gathered.learn(took, streams);
        assert_eq!(gathered.streams, next, "{took:?} {streams}");
    }
    for _ in 0..20 {
        gathered.learn(MOMENT, gathered.streams);
    }
    assert_eq!(gathered.streams, MAX_STREAMS);
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Tail(Tail::Unread) => "alone",
        Answer::Tail(Tail::Whole(_)) => "whole",
        Answer::Failed(_) => "failed",
        Answer::Again => "again",
        Answer::Away => "away",
    }
}

#[test]
fn one_read_of_a_failed_round_gets_the_reason_and_the_others_what_helps_them() {
    let broken = || sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
    for (error, others) in [
        (broken(), "again"),
        (sqlx::Error::PoolTimedOut, "away"),
        (sqlx::Error::Decode("unreadable".into()), "alone"),
    ] {
        let answers = failed(error, 3);
        assert_eq!(answers.iter().map(kind).collect::<Vec<_>>(), [others, others, "failed"]);
    }
    assert_eq!(failed(broken(), 1).iter().map(kind).collect::<Vec<_>>(), ["failed"]);
}

fn row(nth: i64, version: i64, data: Option<&str>) -> TailRow {
    let text = data.map(str::to_owned);
    TailRow {
        nth,
        position: version,
        version,
        event_id: Uuid::nil(),
        recorded_at: DateTime::UNIX_EPOCH,
        schema_version: 1,
        stream: format!("thing-{nth}"),
        event_type: "thing.made".to_owned(),
        data: text.clone(),
        tags: Vec::new(),
        metadata: text,
        bytes: 2,
    }
}

#[test]
fn each_read_of_a_round_gets_its_own_rows_in_order_or_none() {
    let given = Some("{}");
    // A server may return rows in any order.
    let rows = vec![
        row(3, 2, None),
        row(1, 3, given),
        row(3, 1, given),
        row(1, 2, given),
        row(9, 1, given),
        row(1, 1, given),
    ];
    let tails = read(rows, 3);
    let versions = tails.iter().map(|tail| match tail {
        Tail::Whole(rows) => Some(rows.iter().map(|row| row.version).collect::<Vec<_>>()),
        Tail::Unread => None,
    });
    assert_eq!(versions.collect::<Vec<_>>(), [Some(vec![1, 2, 3]), Some(Vec::new()), None]);
}

async fn store() -> (TestDatabase, PostgresStore) {
    let schema = schema_fingerprint();
    let database =
        TestDatabase::create("event_store", &schema, |url| async move { Ok(migrate(&url).await?) });
    let database = database.await;
    let options = PostgresOptions::from_url(database.url()).unwrap().read_connections(1);
    let store = PostgresStore::connect(options).await.unwrap();
    (database, store)
}

#[tokio::test]
async fn a_tail_that_is_long_or_large_is_left_to_a_read_of_its_own() {
    let (_database, store) = store().await;
    for (count, bytes, fits) in [
        (16, 10, true),
        (17, 10, false),
        (1, 31_000, true),
        (1, 33_000, false),
        (3, 12_000, false),
        (2, 200_000, false),
    ] {
        let name = stream(format!("{count}-{bytes}"));
        let data = json!({"text": "x".repeat(bytes)});
        let made = |_| NewEvent::json("thing.made".parse().unwrap(), 1, &data, metadata()).unwrap();
        let events = (0..count).map(made).collect();
        let append = append_to(name.clone(), ExpectedVersion::NoStream, events);
        appended(store.append(append).await.unwrap());
        let tail = store.inner.tails.read(&name, Version::NONE).await.unwrap();
        match tail {
            Tail::Whole(rows) => assert!(fits && rows.len() == count, "{count} {bytes}"),
            Tail::Unread => assert!(!fits, "{count} {bytes}"),
        }
    }
}

#[tokio::test]
async fn the_wait_for_a_connection_makes_no_round_smaller() {
    let (database, store) = store().await;
    store.head().await.unwrap();
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let lock = "BEGIN; LOCK TABLE event_store.log IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let busy = store.clone();
    // It has the only connection until the lock is free.
    let busy = tokio::spawn(async move { busy.head().await });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database())";
    let mut observer = PgConnection::connect(database.url()).await.unwrap();
    until("a call waits for the lock", async || {
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut observer).await.unwrap()
    })
    .await;
    let names: Vec<StreamName> = (0..FIRST_STREAMS).map(stream).collect();
    let reads = join_all(names.iter().map(|name| store.read_stream(name, Version::NONE, 10)));
    let release = async {
        // The round is to wait longer than a round that counts as slow.
        sleep(LONG_ROUND + Duration::from_millis(100)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    };
    let (read, ()) = in_time("all reads", futures::future::join(reads, release)).await;
    assert!(read.iter().all(Result::is_ok), "{read:?}");
    busy.await.unwrap().unwrap();
    assert!(store.inner.tails.gathered().streams >= FIRST_STREAMS);
}
