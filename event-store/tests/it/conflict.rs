//! Races for one condition: exactly one contestant wins each (I4). A planted bug, a check with a
//! snapshot older than its lock, is caught.

use std::sync::Arc;

use event_store::postgres::append_batch;
use event_store::{
    Append, AppendCondition, AppendOutcome, EventStore, ExpectedVersion, Position, PostgresStore,
    Version,
};
use local_servers::{in_time, test_run};
use sqlx::PgConnection;
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{
    append_to, appended, check_dense, connect, database, plain, query, stream, tagged,
};

/// A contestant for the one seat of each round.
enum Contestant {
    /// Uses the library; several contestants share a store.
    Store(PostgresStore),
    /// Uses the stored procedure alone.
    Procedure(PgConnection),
    /// Uses the planted bug.
    Mutant(PgConnection),
}

/// Makes an append on the condition that the seat is free: no event has its tag.
fn take_seat(round: u64, number: usize) -> Append {
    let tag = format!("seat:{round}");
    Append {
        conditions: vec![AppendCondition {
            query: query(&["seat.taken"], &[&tag]),
            after: Position::START,
        }],
        ..append_to(
            stream(format!("{round}-{number}")),
            ExpectedVersion::NoStream,
            vec![tagged("seat.taken", &[&tag])],
        )
    }
}

/// The planted bug: a single statement whose snapshot is older than the lock that it waits for. The
/// pause widens the race window, so the bug is caught however busy the machine is.
const MUTANT: &str = "
    WITH locked AS MATERIALIZED (SELECT epoch FROM event_store.log FOR UPDATE),
    added AS (
        INSERT INTO event_store.events
            (position, version, event_id, recorded_at, schema_version, stream, event_type, data, \
            tags, metadata)
        SELECT nextval('public.mutant'), 1, $1, now(), 1, $2, 'seat.taken', '{}', ARRAY[$3], '{}'
        FROM locked, (SELECT count(*) FROM generate_series(1, 30000)) AS pause WHERE NOT EXISTS \
        (SELECT FROM event_store.tags WHERE tag = $3)
        RETURNING position
    )
    INSERT INTO event_store.tags (tag, position) SELECT $3, position FROM added";

impl Contestant {
    async fn wins(&mut self, round: u64, number: usize) -> bool {
        let outcome = match self {
            Self::Store(store) => store.append(take_seat(round, number)).await.unwrap(),
            Self::Procedure(connection) => {
                append_batch(connection, vec![take_seat(round, number)]).await.unwrap().remove(0)
            }
            Self::Mutant(connection) => {
                let statement = sqlx::query(MUTANT)
                    .bind(Uuid::now_v7())
                    .bind(format!("thing-{round}-{number}"));
                return statement
                    .bind(format!("seat:{round}"))
                    .execute(connection)
                    .await
                    .unwrap()
                    .rows_affected()
                    == 1;
            }
        };
        matches!(outcome, AppendOutcome::Appended(_))
    }
}

/// Runs all contestants' attempts of each round concurrently. Returns the number of rounds without
/// exactly one winner.
async fn violations(contestants: Vec<Contestant>, rounds: u64) -> usize {
    let barrier = Arc::new(Barrier::new(contestants.len()));
    let tasks = contestants.into_iter().enumerate().map(|(number, mut contestant)| {
        let barrier = Arc::clone(&barrier);
        tokio::spawn(async move {
            let mut won = Vec::new();
            for round in 0..rounds {
                in_time("the other contestants", barrier.wait()).await;
                won.push(contestant.wins(round, number).await);
            }
            won
        })
    });
    let mut winners = vec![0; usize::try_from(rounds).unwrap()];
    for task in tasks.collect::<Vec<_>>() {
        for (round, won) in task.await.unwrap().into_iter().enumerate() {
            winners[round] += usize::from(won);
        }
    }
    winners.iter().filter(|winners| **winners != 1).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_wins_a_race_for_a_condition() {
    let database = database().await;
    let (one, other) = (connect(database.url()).await, connect(database.url()).await);
    let mut contestants: Vec<_> =
        (0..6).flat_map(|_| [one.clone(), other.clone()]).map(Contestant::Store).collect();
    for _ in 0..4 {
        contestants.push(Contestant::Procedure(plain(database.url()).await));
    }
    let rounds = test_run().count(50, 10_000);
    assert_eq!(violations(contestants, rounds).await, 0);
    assert_eq!(check_dense(&one).await.0, i64::try_from(rounds).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_race_catches_a_check_that_is_older_than_its_lock() {
    let database = database().await;
    let mut contestants = Vec::new();
    for _ in 0..4 {
        contestants.push(Contestant::Mutant(plain(database.url()).await));
    }
    let mut admin = plain(database.url()).await;
    sqlx::query("CREATE SEQUENCE public.mutant").execute(&mut admin).await.unwrap();
    let caught = violations(contestants, test_run().count(50, 10_000)).await;
    eprintln!("caught in {caught} rounds");
    assert_ne!(caught, 0, "the single-statement form must be caught");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_writers_of_one_stream_never_share_a_version() {
    let database = database().await;
    let stores = [connect(database.url()).await, connect(database.url()).await];
    let each = test_run().count(20, 1_000);
    let tasks = (0..8).map(|writer| {
        let store = stores[writer % 2].clone();
        tokio::spawn(async move {
            for _ in 0..each {
                let append = append_to(
                    stream("shared"),
                    ExpectedVersion::Any,
                    vec![tagged("thing.happened", &[]); 1],
                );
                let outcome = store.append(append).await.unwrap();
                assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(check_dense(&stores[0]).await.0, i64::try_from(8 * each).unwrap());
}

#[tokio::test]
async fn a_process_that_does_not_know_the_head_checks_before_the_lock() {
    let database = database().await;
    let (idle, other) = (connect(database.url()).await, connect(database.url()).await);
    let made = append_to(stream("seat"), ExpectedVersion::NoStream, vec![tagged("seat.made", &[])]);
    appended(other.append(made).await.unwrap());
    // It learns the position of an event, and nothing of those that follow.
    let read = idle.read_stream(&stream("seat"), Version::NONE, 10).await.unwrap();
    // More than the check within the call may scan.
    let looked_at = (0..100).map(|_| tagged("seat.looked_at", &["seat:1"])).collect();
    let looked_at = append_to(stream("visitors"), ExpectedVersion::NoStream, looked_at);
    appended(other.append(looked_at).await.unwrap());
    let take = Append {
        conditions: vec![AppendCondition {
            query: query(&["seat.taken"], &["seat:1"]),
            after: read[0].position,
        }],
        ..append_to(stream("taker"), ExpectedVersion::NoStream, vec![tagged("seat.taken", &[])])
    };
    appended(idle.append(take).await.unwrap());
    let checks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE '-- The first position that breaks each item%'";
    let mut admin = plain(database.url()).await;
    let checks: i64 = sqlx::query_scalar(checks).fetch_one(&mut admin).await.unwrap();
    assert_eq!(checks, 1, "a statement of its own checked what others had written");
}
