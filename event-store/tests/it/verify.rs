//! The verification of the whole log. It finds an intact log in order and names every change made
//! outside the store (A14; P1, P2, P3).

use std::time::Duration;

use event_store::postgres::{DIGEST_EVENTS, Verification, verify};
use event_store::{
    Append, AppendCondition, EventStore, ExpectedVersion, Position, PostgresStore, StoreError,
    StreamAppend, Version,
};
use postgres_kit::Connection;
use sqlx::AssertSqlSafe;

use crate::support::{
    append_to, appended, connect, database, event, key, metadata, one, query, release, sqlstate,
    stream, tagged, take,
};

/// The maximum time to connect, and of a statement.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens a connection with default planning: the check is no append.
async fn verifier(url: &str) -> Connection {
    Connection::open(&url.parse().unwrap(), LIMIT, LIMIT).await.unwrap()
}

/// Makes a log with every kind of append: 12 events.
async fn fill(store: &PostgresStore) {
    let mut odd = tagged("thing.made", &["thing:1", "room:9"]);
    odd.data = serde_json::from_str("{\n \"a\": \"ü\\n{}\", \"big\": 1.10}").unwrap();
    odd.metadata.actor = Some("somebody \"append\":".into());
    appended(
        store
            .append(append_to(
                stream("a"),
                ExpectedVersion::NoStream,
                vec![odd, event("thing.used")],
            ))
            .await
            .unwrap(),
    );
    for round in 1..=3_u8 {
        let append = Append {
            streams: vec![
                StreamAppend {
                    stream: stream("b"),
                    expected: ExpectedVersion::Any,
                    events: vec![event("thing.used"), event("thing.made")],
                },
                StreamAppend {
                    stream: stream("a"),
                    expected: ExpectedVersion::Exact(Version(2)),
                    events: Vec::new(),
                },
            ],
            conditions: vec![AppendCondition {
                query: query(&[], &["nobody:1"]),
                after: Position::START,
            }],
            reservations: vec![take(round, "b"), release(round - 1, "b")],
            idempotency: Some(key(round, 1, "{\"answer\": [1, \"ü\"]}")),
            epoch: None,
            subjects: Vec::new(),
        };
        appended(store.append(append).await.unwrap());
    }
    let keyed = Append { idempotency: Some(key(9, 1, "null")), ..one("c") };
    appended(store.append(keyed).await.unwrap());
    appended(
        store
            .append(Append { idempotency: Some(key(10, 1, "null")), ..Append::default() })
            .await
            .unwrap(),
    );
    appended(
        store
            .append(Append { reservations: vec![release(3, "b"), take(3, "c")], ..one("c") })
            .await
            .unwrap(),
    );
    let closing =
        StreamAppend::closing(stream("c"), ExpectedVersion::Exact(Version(2)), metadata());
    appended(store.append(Append { streams: vec![closing], ..Append::default() }).await.unwrap());
    appended(store.append(one("d")).await.unwrap());
}

fn positions(found: &Verification) -> Vec<i64> {
    found
        .findings
        .iter()
        .filter_map(|finding| finding.position)
        .map(|position| position.0)
        .collect()
}

#[tokio::test]
async fn a_log_in_order_is_found_to_be_encrypted_and_unsealed() {
    let database = database().await;
    let store = connect(database.url()).await;
    fill(&store).await;
    assert_eq!(store.digest().await.unwrap(), Position(12));
    let mut connection = verifier(database.url()).await;
    event_store::postgres::begin_epoch(&mut connection, "a test", &[]).await.unwrap();
    let keyed = Append { idempotency: Some(key(11, 1, "1")), ..one("e") };
    appended(store.append(keyed).await.unwrap());
    assert_eq!(store.digest().await.unwrap(), Position(13));
    assert_eq!(store.digest().await.unwrap(), Position(13), "nothing is left to digest");
    appended(store.append(one("f")).await.unwrap());
    let found = verify(&mut connection).await.unwrap();
    assert!(found.holds(), "{found:#?}");
    assert_eq!((found.head, found.digested_to, found.events), (Position(14), Position(13), 14));
    assert_eq!((found.reservations, found.keys, found.keys_without_events), (1, 5, 1));
    assert_eq!(verify(&mut connection).await.unwrap(), found, "it can be done again");
}

#[tokio::test]
async fn whatever_was_changed_behind_the_logs_back_is_named() {
    const SWAP: &str =
        "UPDATE event_store.events SET position = -position WHERE position IN (4, 5);
        UPDATE event_store.events SET position = 9 + position WHERE position IN (-4, -5)";
    for (change, named) in [
        ("UPDATE event_store.events SET data = '{}' WHERE position = 5", vec![5]),
        (
            "UPDATE event_store.events SET recorded_at = recorded_at + interval '1 us' WHERE \
                position = 12",
            vec![12],
        ),
        ("UPDATE event_store.events SET event_type = 'thing.other' WHERE position = 2", vec![2]),
        ("DELETE FROM event_store.events WHERE position = 12", vec![12]),
        (SWAP, vec![4, 5]),
        ("DELETE FROM event_store.tags WHERE position = 1 AND tag = 'room:9'", vec![1]),
        ("UPDATE event_store.reservations SET owner = 'thing-thief'", vec![10]),
        ("DELETE FROM event_store.reservations", vec![10]),
        ("UPDATE event_store.idempotency SET answer = '2' WHERE position = 4", vec![4]),
        ("UPDATE event_store.idempotency SET versions = '{7,2}' WHERE position = 6", vec![6]),
        ("DELETE FROM event_store.idempotency WHERE position = 8", vec![8]),
        ("UPDATE event_store.digests SET digest = sha256('') WHERE last_position = 12", vec![1]),
    ] {
        let database = database().await;
        let store = connect(database.url()).await;
        fill(&store).await;
        store.digest().await.unwrap();
        drop(store);
        let mut admin = verifier(database.url()).await;
        sqlx::raw_sql("ALTER TABLE event_store.events DROP CONSTRAINT events_versions_from_1")
            .execute(&mut admin)
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.unwrap();
        let found = verify(&mut admin).await.unwrap();
        assert!(!found.holds(), "{change}");
        for position in named {
            assert!(positions(&found).contains(&position), "{change}: {found:#?}");
        }
    }
}

#[tokio::test]
async fn a_missing_event_is_named_and_nothing_is_encrypted_over_the_gap() {
    let database = database().await;
    let store = connect(database.url()).await;
    fill(&store).await;
    let mut admin = verifier(database.url()).await;
    sqlx::raw_sql("DELETE FROM event_store.events WHERE position = 7")
        .execute(&mut admin)
        .await
        .unwrap();
    let StoreError::Database(error) = store.digest().await.unwrap_err() else {
        panic!("a gap was digested")
    };
    assert_eq!(sqlstate(&error), "DB003");
    let found = verify(&mut admin).await.unwrap();
    assert!(positions(&found).contains(&7), "{found:#?}");
}

#[tokio::test]
async fn long_stretches_are_encrypted_at_once_and_by_many_at_once() {
    let database = database().await;
    let stores = [connect(database.url()).await, connect(database.url()).await];
    for _ in 0..5 {
        let events = (0..500).map(|_| tagged("thing.made", &["a:1"])).collect();
        appended(
            stores[0].append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap(),
        );
    }
    stores[1].head().await.unwrap();
    let digesting =
        stores.clone().map(|store| tokio::spawn(async move { store.keep_digesting().await }));
    let mut connection = verifier(database.url()).await;
    let wanted = Position(2 * i64::from(DIGEST_EVENTS));
    let found = loop {
        let found = verify(&mut connection).await.unwrap();
        assert!(found.holds(), "{found:#?}");
        if found.digested_to >= wanted {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(found.head, Position(2_500));
    digesting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_reader_checks_the_log() {
    let database = database().await;
    let store = connect(database.url()).await;
    fill(&store).await;
    let mut reader = verifier(&database.url_in_group("event_store_reader").await).await;
    assert!(verify(&mut reader).await.unwrap().holds());
}
