//! Batches: one bad member affects no other (A7), refusals use no subtransaction (A6), and members
//! that affect each other are refused. Tests of chains (several appends to one stream in one batch)
//! are in `chains.rs`.

use chrono::{DateTime, Utc};
use event_store::postgres::append_batch;
use event_store::{
    Append, AppendCondition, AppendOutcome, EventStore, ExpectedVersion, Filter, Position,
    StoreError,
};
use local_servers::{ClusterOptions, PostgresCluster, test_run};
use rand::Rng;
use sqlx::PgConnection;

use crate::support::{
    POISON, append_to, appended, check_dense, connect, database, event, key, one, plain, query,
    random, refused, sqlstate, stream, tagged, take,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisonous_append_fails_alone() {
    let database = database().await;
    sqlx::raw_sql(POISON).execute(&mut plain(database.url()).await).await.unwrap();
    let store = connect(database.url()).await;
    let mut random = random();
    let mut expected = 0;
    for round in 0..test_run().count(5, 300) {
        let size = random.random_range(1..=256);
        let poisonous = random.random_range(0..size);
        let appends = (0..size).map(|member| {
            let kind = if member == poisonous { "thing.poison" } else { "thing.made" };
            store.append(append_to(
                stream(format!("{round}-{member}")),
                ExpectedVersion::NoStream,
                vec![event(kind)],
            ))
        });
        for (member, outcome) in futures::future::join_all(appends).await.into_iter().enumerate() {
            match outcome {
                Err(StoreError::Database(error)) if member == poisonous => {
                    assert_eq!(sqlstate(&error), "22023");
                }
                Ok(AppendOutcome::Appended(_)) if member != poisonous => expected += 1,
                other => panic!("member {member} of {size}, poison at {poisonous}: {other:?}"),
            }
        }
    }
    assert_eq!(check_dense(&store).await, Position(expected));
}

#[tokio::test]
async fn refusals_in_a_batch_cost_no_subtransaction() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    event_store::postgres::migrate(&cluster.url()).await.unwrap();
    let mut connection = plain(&cluster.url()).await;
    append_batch(&mut connection, (0..250).map(one).collect()).await.unwrap();
    let before = subtransactions(&mut connection).await;
    let batch = (0..500)
        .map(|n| append_to(stream(n), ExpectedVersion::NoStream, vec![event("thing.made")]));
    let outcomes = append_batch(&mut connection, batch.collect()).await.unwrap();
    assert_eq!(outcomes.iter().filter(|o| matches!(o, AppendOutcome::Refused(_))).count(), 250);
    let after = subtransactions(&mut connection).await;
    assert_eq!(after.0 - before.0, 2, "one transaction id for the batch and one for this question");
    assert_eq!(after.1, before.1, "no subtransaction is looked up");
    drop(connection);
    cluster.stop().await;
}

/// Returns the next transaction id, and how often Postgres has looked up a subtransaction.
async fn subtransactions(connection: &mut PgConnection) -> (i64, i64) {
    let question = "SELECT txid_current(), (SELECT blks_hit + blks_read FROM pg_stat_slru WHERE \
        name = 'Subtrans')";
    sqlx::query_as(question).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_batch_whose_members_affect_each_other_is_refused_whole() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let keyed = |id: &str| event_store::Append { idempotency: Some(key(1, 1, "1")), ..one(id) };
    let reserving = |id: &str| event_store::Append { reservations: vec![take(1, id)], ..one(id) };
    let asking = event_store::Append {
        conditions: vec![AppendCondition { query: query(&[], &["a:1"]), after: Position::START }],
        ..one("b")
    };
    let telling =
        append_to(stream("a"), ExpectedVersion::Any, vec![tagged("thing.made", &["a:1"])]);
    for (members, code) in [
        (vec![one("a"), one("a")], "23505"),
        (vec![keyed("a"), keyed("b")], "23505"),
        (vec![reserving("a"), reserving("b")], "DB002"),
        (vec![telling.clone(), asking.clone()], "DB002"),
    ] {
        let Err(StoreError::Database(error)) = append_batch(&mut connection, members).await else {
            panic!("{code} expected")
        };
        assert_eq!(sqlstate(&error), code);
    }
    let store = connect(database.url()).await;
    assert_eq!(check_dense(&store).await, Position::START);
    // In the reverse order the condition comes first and holds.
    for outcome in append_batch(&mut connection, vec![asking, telling]).await.unwrap() {
        appended(outcome);
    }
}

#[tokio::test]
async fn appends_that_affect_each_other_wait_their_turn_in_the_order_they_came() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut appends = Vec::new();
    for version in 0..50 {
        let expected = ExpectedVersion::Exact(event_store::Version(version));
        appends.push(append_to(stream("a"), expected, vec![event("thing.happened")]));
        appends.push(one(format!("other-{version}")));
    }
    let outcomes =
        futures::future::join_all(appends.into_iter().map(|append| store.append(append))).await;
    for outcome in outcomes {
        appended(outcome.unwrap());
    }
    let late = append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.happened")]);
    refused(store.append(late).await.unwrap());
    assert_eq!(check_dense(&store).await, Position(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_repeat_while_the_first_is_in_flight_waits_and_gets_its_answer() {
    let database = database().await;
    let store = connect(database.url()).await;
    let command = || event_store::Append { idempotency: Some(key(1, 1, "\"once\"")), ..one("a") };
    let outcomes = futures::future::join_all((0..20).map(|_| store.append(command()))).await;
    let (mut first, mut repeats) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome.unwrap() {
            AppendOutcome::Appended(appended) => first.push(appended),
            AppendOutcome::Repeated { appended, answer } => {
                repeats.push((appended, answer.get().to_owned()));
            }
            refused @ AppendOutcome::Refused(_) => panic!("{refused:?}"),
        }
    }
    assert_eq!((first.len(), repeats.len()), (1, 19));
    assert!(repeats.iter().all(|repeat| *repeat == (first[0].clone(), "\"once\"".to_owned())));
    assert_eq!(check_dense(&store).await, Position(1));
}

#[tokio::test]
async fn the_logs_clock_does_not_go_back_when_the_servers_does_on_either_way_to_append() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    // The server's clock was ahead when this event was recorded.
    let ahead = "UPDATE event_store.events SET recorded_at = clock_timestamp() + interval '1 \
        hour' RETURNING recorded_at";
    let ahead = sqlx::query_scalar::<_, DateTime<Utc>>(ahead)
        .fetch_one(&mut plain(database.url()).await)
        .await
        .unwrap();
    appended(store.append(one("a")).await.unwrap());
    appended(store.append(Append { reservations: vec![take(1, "a")], ..one("a") }).await.unwrap());
    let events = store.read(&Filter::All, Position::START, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>(), [ahead; 3]);
}
