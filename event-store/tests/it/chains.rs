//! Chains: several appends to one stream in one batch, each of which requires the last event of the
//! previous one. A refused append causes the refusal of all later ones of its chain, and of no
//! other append.

use event_store::postgres::append_batch;
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, NewEvent, Position, Refusal, StoreError,
    StreamAppend, Version,
};
use sqlx::PgConnection;

use crate::support::{
    POISON, append_to, appended, behind, check_dense, connect, database, event, key, metadata, one,
    plain, refused, repeated, sqlstate, stream, take,
};

/// Makes a chain of single-event appends to a new stream.
fn chain(name: &str, length: usize) -> Vec<Append> {
    let mut chain: Vec<Append> = Vec::with_capacity(length);
    for version in 0.. {
        if chain.len() == length {
            break;
        }
        let expected =
            chain.last().map_or(ExpectedVersion::NoStream, |before| behind(before, version));
        chain.push(append_to(stream(name), expected, vec![event("thing.happened")]));
    }
    chain
}

/// Returns the number of transactions that wrote the log.
async fn batches(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM event_store.events")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Returns the appended versions, and the actual versions in the refusals.
fn versions(outcomes: Vec<AppendOutcome>) -> Vec<Result<i64, i64>> {
    let version = |outcome| match outcome {
        AppendOutcome::Appended(made) => Ok(made.versions[0].1.0),
        AppendOutcome::Refused(Refusal::Version { actual, .. }) => Err(actual.0),
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(version).collect()
}

#[tokio::test]
async fn p2_a_chain_is_one_batch_the_short_way_and_the_long_one() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let mut long = chain("b", 300);
    long[7].reservations.push(take(1, "b"));
    for (nth, members) in [chain("a", 300), long].into_iter().enumerate() {
        let outcomes = append_batch(&mut connection, members).await.unwrap();
        assert_eq!(versions(outcomes), (1..=300).map(Ok).collect::<Vec<_>>());
        assert_eq!(batches(&mut connection).await, i64::try_from(nth + 1).unwrap());
    }
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_was_sent_at_once_through_the_store_takes_few_batches() {
    let database = database().await;
    let store = connect(database.url()).await;
    let outcomes =
        futures::future::join_all(chain("a", 300).into_iter().map(|append| store.append(append)))
            .await;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(versions(outcomes), (1..=300).map(Ok).collect::<Vec<_>>());
    // The first append may be in flight before the others arrive.
    let batches = batches(&mut plain(database.url()).await).await;
    assert!(batches <= 3, "{batches} batches");
}

#[tokio::test]
async fn several_events_none_and_several_streams_are_links_of_a_chain_as_well() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let two = append_to(
        stream("a"),
        ExpectedVersion::Any,
        vec![event("thing.made"), event("thing.used")],
    );
    let looks = append_to(stream("a"), behind(&two, 2), Vec::new());
    let mut both = append_to(stream("b"), ExpectedVersion::NoStream, vec![event("thing.made")]);
    both.streams.push(StreamAppend {
        stream: stream("a"),
        expected: behind(&two, 2),
        events: vec![event("thing.used")],
    });
    let last = |of: &Append, nth: usize| of.streams[nth].events.last().unwrap().id;
    let on_a = ExpectedVersion::Behind { version: Version(3), event_id: last(&both, 1) };
    let on_b = ExpectedVersion::Behind { version: Version(1), event_id: last(&both, 0) };
    let members = vec![
        two,
        looks,
        both,
        append_to(stream("a"), on_a, vec![event("thing.used")]),
        append_to(stream("b"), on_b, vec![event("thing.used")]),
    ];
    let outcomes = append_batch(&mut connection, members).await.unwrap();
    assert_eq!(versions(outcomes), [Ok(2), Ok(2), Ok(1), Ok(4), Ok(2)]);
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(6));
}

#[tokio::test]
async fn who_stands_behind_a_refused_one_is_refused_and_nobody_else() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    append_batch(
        &mut connection,
        vec![Append { reservations: vec![take(1, "owner")], ..one("owner") }],
    )
    .await
    .unwrap();
    let mut members = chain("a", 6);
    members[2].reservations.push(take(1, "a"));
    // This one follows the second append again: the refused one between them left no event.
    members.push(append_to(stream("a"), behind(&members[1], 2), vec![event("thing.used")]));
    members.push(one("other"));
    let mut outcomes = append_batch(&mut connection, members).await.unwrap();
    let reserved = refused(outcomes.remove(2));
    assert!(matches!(reserved, Refusal::Reservation { index: 0, .. }), "{reserved:?}");
    assert_eq!(versions(outcomes), [Ok(1), Ok(2), Err(2), Err(2), Err(2), Ok(3), Ok(1)]);
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(5));
}

/// Another writer appends as many events as the first link would have. The second link's version is
/// right, but its event is not.
#[tokio::test]
async fn a_version_that_another_one_took_does_not_let_a_chain_go_on() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    for name in ["a", "b"] {
        append_batch(&mut connection, vec![one(name)]).await.unwrap();
    }
    let mut long = chain("b", 3);
    long[2].reservations.push(take(1, "b"));
    for members in [chain("a", 3), long] {
        assert_eq!(
            versions(append_batch(&mut connection, members.clone()).await.unwrap()),
            [Err(1), Err(1), Err(1)]
        );
        // It is also refused in a separate batch.
        assert_eq!(
            versions(append_batch(&mut connection, members[1..2].to_vec()).await.unwrap()),
            [Err(1)]
        );
    }
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(2));
}

#[tokio::test]
async fn nothing_comes_behind_the_link_that_closes_the_stream() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    for (name, reservations) in [("a", vec![]), ("b", vec![take(1, "b")])] {
        let first = append_to(stream(name), ExpectedVersion::NoStream, vec![event("thing.made")]);
        let closing = StreamAppend::closing(stream(name), behind(&first, 1), metadata());
        let closing = Append { streams: vec![closing], reservations, ..Append::default() };
        let late = append_to(stream(name), behind(&closing, 2), vec![event("thing.used")]);
        let outcomes = append_batch(&mut connection, vec![first, closing, late]).await.unwrap();
        let [first, closing, late] = <[_; 3]>::try_from(outcomes).unwrap();
        assert_eq!(versions(vec![first, closing]), [Ok(1), Ok(2)]);
        assert_eq!(refused(late), Refusal::Closed { stream: stream(name) });
    }
}

#[tokio::test]
async fn a_chain_that_is_sent_again_is_recognised_link_by_link_and_goes_on() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let all = chain("a", 6);
    let first = append_batch(&mut connection, all[..4].to_vec()).await.unwrap();
    for sent_again in [all[1..5].to_vec(), all.clone()] {
        let outcomes = append_batch(&mut connection, sent_again).await.unwrap();
        for outcome in &outcomes {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
        assert_eq!(appended(outcomes[1].clone()).count, 1);
    }
    let again = append_batch(&mut connection, all[..4].to_vec()).await.unwrap();
    for (again, first) in again.into_iter().zip(first) {
        assert_eq!(appended(again), appended(first));
    }
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(6));
}

#[tokio::test]
async fn p9_every_link_keeps_its_key_and_a_repeat_within_breaks_the_chain_behind_it() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    let keyed = |append: Append, number| Append {
        idempotency: Some(key(number, 1, &number.to_string())),
        ..append
    };
    let first: Vec<Append> =
        chain("a", 4).into_iter().zip(1..).map(|(append, number)| keyed(append, number)).collect();
    let made = append_batch(&mut connection, first).await.unwrap();
    let new = append_to(stream("a"), ExpectedVersion::Exact(Version(4)), vec![event("thing.used")]);
    let repeat = keyed(append_to(stream("a"), behind(&new, 5), vec![event("thing.used")]), 3);
    let late = append_to(stream("a"), behind(&repeat, 6), vec![event("thing.used")]);
    let outcomes = append_batch(&mut connection, vec![new, repeat, late]).await.unwrap();
    let [new, repeat, late] = <[_; 3]>::try_from(outcomes).unwrap();
    assert_eq!(appended(new).versions[0].1, Version(5));
    assert_eq!(repeated(repeat), (appended(made[2].clone()), "3".to_owned()));
    assert!(matches!(refused(late), Refusal::Version { actual: Version(5), .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_link_fails_alone_and_who_stands_behind_it_is_refused() {
    let database = database().await;
    sqlx::raw_sql(POISON).execute(&mut plain(database.url()).await).await.unwrap();
    let store = connect(database.url()).await;
    let mut members = chain("a", 40);
    let poisonous = NewEvent {
        event_type: "thing.poison".parse().unwrap(),
        ..members[17].streams[0].events[0].clone()
    };
    members[17].streams[0].events = vec![poisonous];
    let outcomes =
        futures::future::join_all(members.into_iter().map(|append| store.append(append))).await;
    for (nth, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(AppendOutcome::Appended(made)) if nth < 17 => {
                assert_eq!(made.versions[0].1.0, i64::try_from(nth).unwrap() + 1);
            }
            Err(StoreError::Database(error)) if nth == 17 => assert_eq!(sqlstate(&error), "22023"),
            Ok(AppendOutcome::Refused(Refusal::Version { actual: Version(17), .. }))
                if nth > 17 => {}
            other => panic!("link {nth}: {other:?}"),
        }
    }
    assert_eq!(check_dense(&store).await, Position(17));
}

/// Appends that only check a stream share a batch, whatever they require of it. So do appends that
/// change it afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_one_stream_keeps_nobody_apart() {
    let database = database().await;
    let store = connect(database.url()).await;
    let looking = |number: usize| {
        let look = StreamAppend {
            stream: stream("shared"),
            expected: ExpectedVersion::NoStream,
            events: Vec::new(),
        };
        let mut append = one(number);
        append.streams.push(look);
        append
    };
    let outcomes =
        futures::future::join_all((0..100).map(|number| store.append(looking(number)))).await;
    for outcome in outcomes {
        appended(outcome.unwrap());
    }
    let batches = batches(&mut plain(database.url()).await).await;
    assert!(batches <= 3, "{batches} batches");
    let changing = append_to(stream("shared"), ExpectedVersion::Any, vec![event("thing.made")]);
    let sent = [looking(100), changing, looking(101)];
    let outcomes = append_batch(&mut plain(database.url()).await, sent.to_vec()).await.unwrap();
    let [before, changing, after] = <[_; 3]>::try_from(outcomes).unwrap();
    appended(before);
    appended(changing);
    assert!(matches!(refused(after), Refusal::Version { actual: Version(1), .. }));
}
