//! Hostile or broken input. Each append is refused alone and with a reason, and its neighbours
//! succeed. Also a stream of a million events, and a clock that jumps. The tests print their
//! measurements.

use std::time::{Duration, Instant};

use event_store::{
    Append, AppendCondition, EventStore, EventType, ExpectedVersion, Filter, Metadata, NewEvent,
    Position, PostgresStore, ReservationChange, ReservedValue, StoreError, StreamName, Tag,
    Version,
};
use local_servers::test_run;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::support::{
    append_to, appended, check_dense, connect, database, event, key, metadata, one, plain, query,
    stream, tagged,
};

/// The number of good appends around each attack.
const NEIGHBOURS: usize = 64;
const MIB: usize = 1024 * 1024;

fn with_event(event: NewEvent) -> Append {
    append_to(stream("a"), ExpectedVersion::Any, vec![event])
}

fn with_data(json: String) -> Append {
    with_event(NewEvent { data: RawValue::from_string(json).unwrap(), ..event("thing.made") })
}

fn with_actor(actor: String) -> Append {
    with_event(NewEvent {
        metadata: Metadata { actor: Some(actor), ..metadata() },
        ..event("thing.made")
    })
}

fn with_reservations(reservations: impl Iterator<Item = (String, [u8; 32])>) -> Append {
    let take = |(scope, hash): (String, _)| ReservationChange::Take {
        reservation: ReservedValue { scope: scope.into(), hash },
        owner: stream("a"),
    };
    Append { reservations: reservations.map(take).collect(), ..one("a") }
}

/// Each attack by name.
fn attacks() -> Vec<(&'static str, Append)> {
    let number = |n: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        ("thing.name".to_owned(), hash)
    };
    let tags = (0..10_000).map(|n| format!("tag:{n}")).collect::<Vec<_>>();
    let condition = || AppendCondition { query: query(&[], &["tag:1"]), after: Position::START };
    let answer = RawValue::from_string(r#""\u0000""#.to_owned()).unwrap();
    let events = (0..20).map(|_| NewEvent {
        data: RawValue::from_string(format!("\"{}\"", "x".repeat(500 * 1024))).unwrap(),
        ..event("thing.made")
    });
    vec![
        ("NUL in data", with_data(r#"{"name": "a\u0000b"}"#.to_owned())),
        ("NUL in a field's name", with_data(r#"{"a\u0000b": 1}"#.to_owned())),
        ("NUL in the actor", with_actor("a\0b".to_owned())),
        (
            "NUL in a reservation's scope",
            with_reservations([("a\0b".to_owned(), [0; 32])].into_iter()),
        ),
        (
            "NUL in the answer kept",
            Append {
                idempotency: Some(event_store::Idempotency { answer, ..key(1, 1, "1") }),
                ..one("a")
            },
        ),
        ("half a surrogate pair in data", with_data(r#""\ud800 alone""#.to_owned())),
        ("2 MiB of data", with_data(format!("\"{}\"", "x".repeat(2 * MIB)))),
        ("2 MiB of actor", with_actor("x".repeat(2 * MIB))),
        ("10 MiB in 20 events", append_to(stream("a"), ExpectedVersion::Any, events.collect())),
        (
            "10,000 tags",
            with_event(tagged("thing.made", &tags.iter().map(String::as_str).collect::<Vec<_>>())),
        ),
        (
            "10,000 events",
            append_to(
                stream("a"),
                ExpectedVersion::Any,
                (0..10_000).map(|_| event("thing.made")).collect(),
            ),
        ),
        (
            "10,000 streams",
            Append {
                streams: (0..10_000).flat_map(|n| one(n).streams).collect(),
                ..Append::default()
            },
        ),
        ("10,000 reservations", with_reservations((0..10_000).map(number))),
        (
            "10,000 conditions",
            Append { conditions: (0..10_000).map(|_| condition()).collect(), ..one("a") },
        ),
        (
            "a condition on everything",
            Append {
                conditions: vec![AppendCondition { query: query(&[], &[]), ..condition() }],
                ..one("a")
            },
        ),
        (
            "a schema version of 0",
            with_event(NewEvent { schema_version: 0, ..event("thing.made") }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attack_is_refused_alone_and_its_neighbours_do_not_notice() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut good = 0;
    for _ in 0..test_run().count(1, 100) {
        for (name, attack) in attacks() {
            let neighbours = (0..NEIGHBOURS).map(|n| store.append(one(n)));
            let culprit = async {
                let since = Instant::now();
                (store.append(attack).await, since.elapsed())
            };
            let (neighbours, (refused, took)) =
                tokio::join!(futures::future::join_all(neighbours), culprit);
            for neighbour in neighbours {
                appended(neighbour.unwrap());
                good += 1;
            }
            let Err(StoreError::Invalid(reason)) = refused else { panic!("{name}: {refused:?}") };
            assert!(
                reason.len() < 200,
                "the message gives a reason and does not repeat the attack: {name}"
            );
            eprintln!("{name}: refused in {took:.1?}: {reason}");
        }
    }
    assert_eq!(check_dense(&store).await, Position(good));
}

#[test]
fn names_and_tags_with_anything_unprintable_are_refused_where_they_are_made() {
    for text in [
        "a\0b",
        "a b",
        "ä",
        "",
        "a\n",
        &"x".repeat(129),
        "a\u{202e}b",
        "'; DROP SCHEMA event_store; --",
    ] {
        assert!(text.parse::<Tag>().is_err(), "{text:?}");
        assert!(StreamName::new("thing", text).is_err(), "{text:?}");
        assert!(format!("thing.{text}").parse::<EventType>().is_err(), "{text:?}");
    }
}

/// Appends in blocks until the stream is long. Compares its last appends and reads with its first
/// ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_million_events_is_appended_to_and_read_as_a_short_one() {
    const BLOCK: u64 = 1_000;
    let blocks = test_run().count(20_000, 1_000_000) / BLOCK;
    let database = database().await;
    let store = connect(database.url()).await;
    let first = one_at_a_time(&store, 0).await;
    let mut version = i64::try_from(SAMPLES).unwrap();
    let began = Instant::now();
    for _ in 0..blocks {
        let events = (0..BLOCK).map(|_| event("thing.happened")).collect();
        let append = append_to(stream("long"), ExpectedVersion::Exact(Version(version)), events);
        version = appended(store.append(append).await.unwrap()).versions[0].1.0;
    }
    let appending = began.elapsed();
    let last = one_at_a_time(&store, version).await;
    let length = version + i64::try_from(SAMPLES).unwrap();
    let began = Instant::now();
    let mut read = Version::NONE;
    while let Some(event) = store.read_stream(&stream("long"), read, 5_000).await.unwrap().last() {
        read = event.version;
    }
    let reading = began.elapsed();
    assert_eq!(read, Version(length));
    let began = Instant::now();
    let newest = store.read_stream_backward(&stream("long"), None, 1).await.unwrap();
    let backward = began.elapsed();
    assert_eq!(newest[0].version, read);
    let rate = |took: Duration| f64::from(u32::try_from(length).unwrap()) / took.as_secs_f64();
    eprintln!(
        "{length} events in one stream: {:.0} appended a second in blocks, {:.0} read; one append \
            {first:.1?} at the start, {last:.1?} at \
         the end; the last event in {backward:.1?}",
        rate(appending),
        rate(reading)
    );
    assert!(
        last < first * 5 + Duration::from_millis(5),
        "appending to a long stream is slow: {last:?}, was {first:?}"
    );
    assert_eq!(check_dense(&store).await, Position(length));
}

/// The number of appends to time.
const SAMPLES: usize = 25;

/// Returns the median time of single-event appends from this version on.
async fn one_at_a_time(store: &PostgresStore, version: i64) -> Duration {
    let mut times = Vec::new();
    for expected in (version..).take(SAMPLES) {
        let since = Instant::now();
        let append = append_to(
            stream("long"),
            ExpectedVersion::Exact(Version(expected)),
            vec![event("thing.happened")],
        );
        appended(store.append(append).await.unwrap());
        times.push(since.elapsed());
    }
    times.sort_unstable();
    times[SAMPLES / 2]
}

/// The server's clock cannot be set here, so the test changes the past: the last event's time is
/// tomorrow, or in another century, as if the clock had been set back.
#[tokio::test]
async fn a_clock_that_jumps_neither_stops_appends_nor_turns_the_time_of_the_log_back() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut admin = plain(database.url()).await;
    for jump in ["1 day", "-100 years", "1 hour"] {
        appended(store.append(one("a")).await.unwrap());
        let set = "UPDATE event_store.events SET recorded_at = greatest(
                coalesce((SELECT max(recorded_at) FROM event_store.events WHERE position < $2), \
                '-infinity'), clock_timestamp() + $1::interval)
            WHERE position = $2 RETURNING recorded_at";
        let head = store.head().await.unwrap().mark.position;
        let jumped = sqlx::query_scalar::<_, chrono::DateTime<chrono::Utc>>(set)
            .bind(jump)
            .bind(head.0)
            .fetch_one(&mut admin)
            .await;
        let jumped = jumped.unwrap();
        // Time-based event ids must not matter: the first instant, the last, and now.
        for id in [0, (1 << 48) - 1].map(|millis: u64| {
            Uuid::from_u64_pair(millis << 16 | 0x7000, 1 << 63 | rand::random::<u64>() >> 2)
        }) {
            appended(
                store.append(with_event(NewEvent { id, ..event("thing.made") })).await.unwrap(),
            );
        }
        for event in store.read(&Filter::All, head, 10).await.unwrap() {
            assert!(
                event.recorded_at >= jumped,
                "after {jump}: {} before {jumped}",
                event.recorded_at
            );
        }
    }
    assert_eq!(check_dense(&store).await, Position(9));
}
