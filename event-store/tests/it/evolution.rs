//! A log written by programs of several ages, read and appended to by today's program. The tests
//! run on Postgres and in memory.

use std::sync::Arc;

use event_store::registry::{InvalidRegistry, Past, Shape};
use event_store::{
    Append, AppendCondition, AppendOutcome, EventQuery, EventStore, ExpectedVersion, Filter,
    NewEvent, Position, QueryItem, RecordedEvent, Refusal, Registry, UpcastingError, UpcastingLog,
    Version, WrittenType,
};
use local_servers::test_run;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::support::{
    append_to, appended, connect, database, next, on_both, plain, query, random, refused, release,
    stream, tagged, take,
};

const CURRENT: &[Shape] =
    &[("thing.made", 3), ("thing.taken", 1), ("thing.put", 2), ("thing.seen", 1)];
const PAST: &[Past] = &[
    // Two changes of shape.
    (("thing.made", 1), &[("thing.made", 2)], |data| with(data, "colour", "thing.made")),
    (("thing.made", 2), &[("thing.made", 3)], |data| with(data, "size", "thing.made")),
    // A new name, leading to an older shape.
    (("thing.begun", 1), &[("thing.made", 1)], |data| Ok(vec![("thing.made", data)])),
    // A split into two events, the second of an older shape.
    (("thing.moved", 1), &[("thing.taken", 1), ("thing.put", 1)], |data| {
        Ok(vec![("thing.taken", data.clone()), ("thing.put", data)])
    }),
    (("thing.put", 1), &[("thing.put", 2)], |data| with(data, "place", "thing.put")),
    // Dropped for some payloads.
    (("thing.looked_at", 1), &[("thing.seen", 1)], |data| {
        let odd = data["number"].as_u64().ok_or("it has no number")? % 2 == 1;
        Ok(if odd { vec![("thing.seen", data)] } else { Vec::new() })
    }),
    // Always dropped.
    (("thing.smelled", 1), &[], |_| Ok(Vec::new())),
];
/// The shapes in a log of several ages.
const WRITTEN: &[Shape] = &[
    ("thing.made", 1),
    ("thing.made", 2),
    ("thing.made", 3),
    ("thing.begun", 1),
    ("thing.moved", 1),
    ("thing.taken", 1),
    ("thing.put", 1),
    ("thing.put", 2),
    ("thing.looked_at", 1),
    ("thing.seen", 1),
    ("thing.smelled", 1),
    ("foreign.happened", 7),
];

fn with(
    mut data: Value,
    field: &str,
    name: &'static str,
) -> Result<Vec<(&'static str, Value)>, &'static str> {
    data.as_object_mut().ok_or("it is no object")?.insert(field.to_owned(), json!("unknown"));
    Ok(vec![(name, data)])
}

fn registry() -> Registry {
    Registry::new(CURRENT.iter().copied(), PAST.iter().copied()).unwrap()
}

fn log(store: &Arc<dyn EventStore>) -> UpcastingLog {
    UpcastingLog::new(Arc::clone(store), Arc::new(registry()))
}

fn written((event_type, version): Shape, tags: &[&str]) -> NewEvent {
    NewEvent { schema_version: version, ..tagged(event_type, tags) }
}

async fn write(store: &Arc<dyn EventStore>, name: &str, events: Vec<NewEvent>) -> Position {
    appended(store.append(append_to(stream(name), ExpectedVersion::Any, events)).await.unwrap())
        .last
        .position
}

fn names(events: &[RecordedEvent]) -> Vec<(i64, u32, String, i32)> {
    let name =
        |e: &RecordedEvent| (e.position.0, e.fragment, e.event_type.to_string(), e.schema_version);
    events.iter().map(name).collect()
}

fn types(names: &[&str]) -> Filter {
    Filter::Types(names.iter().map(|name| name.parse().unwrap()).collect())
}

/// Reads all matches of a filter, in pages of this size.
async fn all(log: &UpcastingLog, filter: &Filter, page: u32) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), Position::START);
    loop {
        let page = log.read(filter, after, page).await.unwrap();
        events.extend(page.events);
        if page.is_last {
            return events;
        }
        after = page.after;
    }
}

on_both! {
    an_event_is_found_under_what_it_is_today_and_not_under_what_it_was
    the_parts_of_a_split_share_a_position_and_no_page_cuts_them
    unknown_fields_are_kept
    a_stream_ends_where_its_last_stored_event_is_even_if_that_means_nothing_any_more
    a_subscription_gives_what_an_event_has_become
    a_condition_is_broken_by_what_has_become_its_type
    a_condition_is_not_broken_by_what_was_only_asked_for_to_be_looked_at
    what_the_log_holds_and_cannot_be_read_is_told
    an_event_that_cannot_be_read_is_an_error_that_says_where
    a_check_tells_what_would_refuse_an_append_and_appends_nothing
    reads_and_conditions_equal_those_over_a_log_that_was_upcast_as_a_whole
}

async fn an_event_is_found_under_what_it_is_today_and_not_under_what_it_was(
    store: Arc<dyn EventStore>,
) {
    write(&store, "a", WRITTEN.iter().map(|shape| written(*shape, &[])).collect()).await;
    let log = log(&store);
    let made =
        (1..=4).map(|position| (position, 0, "thing.made".to_owned(), 3)).collect::<Vec<_>>();
    assert_eq!(names(&all(&log, &types(&["thing.made"]), 100).await), made);
    for gone in ["thing.begun", "thing.moved", "thing.smelled"] {
        assert_eq!(names(&all(&log, &types(&[gone]), 100).await), []);
        assert_eq!(names(&all(&log, &Filter::Query(query(&[gone], &[])), 100).await), []);
    }
    let everything = all(&log, &Filter::All, 100).await;
    assert!(everything.iter().all(|event| !event.event_type.as_str().contains("smelled")));
    assert_eq!(everything.last().map(|event| event.event_type.as_str()), Some("foreign.happened"));
}

async fn the_parts_of_a_split_share_a_position_and_no_page_cuts_them(store: Arc<dyn EventStore>) {
    write(&store, "a", (0..3).map(|_| written(("thing.moved", 1), &["thing:1"])).collect()).await;
    let log = log(&store);
    for filter in
        [Filter::All, types(&["thing.taken", "thing.put"]), Filter::Query(query(&[], &["thing:1"]))]
    {
        let fragments = (1..=3)
            .flat_map(|p| [(p, 0, "thing.taken".to_owned(), 1), (p, 1, "thing.put".to_owned(), 2)]);
        assert_eq!(names(&all(&log, &filter, 1).await), fragments.collect::<Vec<_>>());
    }
    let put = all(&log, &types(&["thing.put"]), 2).await;
    assert_eq!(
        put.iter().map(|event| (event.position.0, event.fragment)).collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 1)]
    );
    let stored = store.read(&Filter::All, Position::START, 10).await.unwrap();
    assert!(
        put.iter().zip(&stored).all(|(fragment, stored)| fragment.mark() == stored.mark()
            && fragment.version == stored.version)
    );
}

async fn unknown_fields_are_kept(store: Arc<dyn EventStore>) {
    let mut event = written(("thing.begun", 1), &[]);
    event.data = serde_json::from_str(r#"{"number": 1, "nobody": {"knows": [1, 2]}}"#).unwrap();
    write(&store, "a", vec![event]).await;
    let events = all(&log(&store), &Filter::All, 10).await;
    let expected =
        json!({"number": 1, "nobody": {"knows": [1, 2]}, "colour": "unknown", "size": "unknown"});
    assert_eq!(events[0].decode::<Value>().unwrap(), expected);
}

async fn a_stream_ends_where_its_last_stored_event_is_even_if_that_means_nothing_any_more(
    store: Arc<dyn EventStore>,
) {
    write(&store, "a", vec![written(("thing.begun", 1), &[]), written(("thing.smelled", 1), &[])])
        .await;
    let page = log(&store).read_stream(&stream("a"), Version::NONE, 10).await.unwrap();
    assert_eq!(
        (
            page.events.len(),
            page.last.map(|(version, mark)| (version, mark.position)),
            page.is_last
        ),
        (1, Some((Version(2), Position(2))), true)
    );
    let page = log(&store).read_stream(&stream("a"), Version(1), 1).await.unwrap();
    assert_eq!(
        (
            page.events.len(),
            page.last.map(|(version, mark)| (version, mark.position)),
            page.is_last
        ),
        (0, Some((Version(2), Position(2))), false)
    );
}

async fn a_subscription_gives_what_an_event_has_become(store: Arc<dyn EventStore>) {
    write(&store, "a", vec![written(("thing.smelled", 1), &[]), written(("thing.moved", 1), &[])])
        .await;
    let mut events = log(&store).subscribe(types(&["thing.put", "thing.made"]), Position::START);
    let first = next(&mut events).await.unwrap();
    write(
        &store,
        "a",
        vec![written(("thing.looked_at", 1), &[]), written(("thing.begun", 1), &[])],
    )
    .await;
    let second = next(&mut events).await.unwrap();
    assert_eq!(
        names(&[first, second]),
        [(2, 1, "thing.put".to_owned(), 2), (4, 0, "thing.made".to_owned(), 3)]
    );
}

/// Appends an event unless a matching event exists after the position.
async fn unless(log: &UpcastingLog, query: EventQuery, after: Position) -> AppendOutcome {
    let conditions = vec![AppendCondition { query, after }];
    let append = append_to(
        stream("guarded"),
        ExpectedVersion::Any,
        vec![written(("thing.seen", 1), &["guarded:1"])],
    );
    log.append(Append { conditions, ..append }).await.unwrap()
}

async fn a_condition_is_broken_by_what_has_become_its_type(store: Arc<dyn EventStore>) {
    let at = write(&store, "a", vec![written(("thing.moved", 1), &["thing:1"])]).await;
    for event_type in ["thing.put", "thing.taken"] {
        let outcome =
            unless(&log(&store), query(&[event_type], &["thing:1"]), Position::START).await;
        assert_eq!(refused(outcome), Refusal::Condition { index: 0, position: at });
    }
    appended(unless(&log(&store), query(&["thing.put"], &["thing:1"]), at).await);
    appended(
        unless(&log(&store), query(&["thing.moved", "thing.made"], &["thing:1"]), Position::START)
            .await,
    );
}

async fn a_condition_is_not_broken_by_what_was_only_asked_for_to_be_looked_at(
    store: Arc<dyn EventStore>,
) {
    let mut unseen: Vec<NewEvent> =
        (0..20).map(|_| written(("thing.looked_at", 1), &["thing:1"])).collect();
    for event in &mut unseen {
        event.data = serde_json::from_str(r#"{"number": 2}"#).unwrap();
    }
    write(&store, "a", unseen).await;
    appended(unless(&log(&store), query(&["thing.seen"], &["thing:1"]), Position::START).await);
    let mut seen = written(("thing.looked_at", 1), &["thing:1"]);
    seen.data = serde_json::from_str(r#"{"number": 3}"#).unwrap();
    let at = write(&store, "a", vec![seen]).await;
    let outcome = unless(&log(&store), query(&["thing.seen"], &["thing:1"]), Position::START).await;
    assert_eq!(refused(outcome), Refusal::Condition { index: 0, position: at });
    // A tag alone matches any event, but a dropped event is none.
    write(&store, "b", vec![written(("thing.smelled", 1), &["thing:2"])]).await;
    appended(unless(&log(&store), query(&[], &["thing:2"]), Position::START).await);
}

async fn what_the_log_holds_and_cannot_be_read_is_told(store: Arc<dyn EventStore>) {
    assert_eq!(store.written_types().await.unwrap(), []);
    let from_the_future = [("thing.made", 4), ("thing.seen", 9), ("thing.seen", 2)];
    let shapes = WRITTEN.iter().chain(&from_the_future).copied();
    write(
        &store,
        "a",
        shapes.clone().chain(shapes.clone()).map(|shape| written(shape, &[])).collect(),
    )
    .await;
    let mut expected: Vec<WrittenType> = shapes
        .map(|(event_type, schema_version)| WrittenType {
            event_type: event_type.parse().unwrap(),
            schema_version,
        })
        .collect();
    expected.sort();
    assert_eq!(store.written_types().await.unwrap(), expected);
    let unreadable = log(&store).unreadable().await.unwrap();
    let told = unreadable.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told, ["foreign.happened v7", "thing.made v4", "thing.seen v2", "thing.seen v9"]);
}

async fn an_event_that_cannot_be_read_is_an_error_that_says_where(store: Arc<dyn EventStore>) {
    write(
        &store,
        "a",
        vec![written(("thing.seen", 1), &[]), written(("thing.seen", 2), &["thing:1"])],
    )
    .await;
    let mut misshapen = written(("thing.looked_at", 1), &[]);
    misshapen.data = serde_json::from_str(r#"{"canary": "x"}"#).unwrap();
    write(&store, "b", vec![misshapen]).await;
    let log = log(&store);
    let UpcastingError::Unreadable(newer) =
        log.read(&types(&["thing.seen"]), Position(1), 10).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!(
        (newer.position, newer.schema_version, newer.why.as_str()),
        (Position(2), 2, "version 2 of thing.seen is not known")
    );
    let UpcastingError::Unreadable(other) =
        log.read(&Filter::All, Position(2), 10).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((other.position, other.why.as_str()), (Position(3), "it has no number"));
    assert!(matches!(log.read(&types(&["thing.made"]), Position::START, 10).await,
            Ok(page) if page.events.is_empty()));
    // It is unknown whether the event breaks a condition, so nothing is appended.
    let conditions = vec![AppendCondition {
        query: query(&["thing.seen"], &["thing:1"]),
        after: Position::START,
    }];
    let append =
        append_to(stream("c"), ExpectedVersion::Any, vec![written(("thing.seen", 1), &[])]);
    assert!(matches!(
        log.append(Append { conditions, ..append }).await,
        Err(UpcastingError::Unreadable(_))
    ));
    assert_eq!(store.head().await.unwrap().mark.position, Position(3));
}

async fn a_check_tells_what_would_refuse_an_append_and_appends_nothing(store: Arc<dyn EventStore>) {
    let at = write(&store, "a", vec![written(("thing.moved", 1), &["thing:1"])]).await;
    let mut owned =
        append_to(stream("a"), ExpectedVersion::Any, vec![written(("thing.seen", 1), &[])]);
    owned.reservations = vec![take(1, "a"), take(2, "a")];
    appended(store.append(owned).await.unwrap());
    let (log, epoch) = (log(&store), store.head().await.unwrap().epoch);
    let plain = |expected| Append {
        epoch: Some(epoch),
        ..append_to(stream("a"), expected, vec![written(("thing.seen", 1), &["thing:2"])])
    };
    let condition = |event_type: &str| AppendCondition {
        query: query(&[event_type], &["thing:1"]),
        after: Position::START,
    };
    let reserving = |reservations| Append { reservations, ..plain(ExpectedVersion::Any) };
    for append in [
        plain(ExpectedVersion::Exact(Version(2))),
        plain(ExpectedVersion::NoStream),
        plain(ExpectedVersion::Exact(Version(1))),
        Append {
            epoch: Some(event_store::Epoch(uuid::Uuid::nil())),
            ..plain(ExpectedVersion::NoStream)
        },
        Append {
            conditions: vec![condition("thing.made"), condition("thing.put")],
            ..plain(ExpectedVersion::Any)
        },
        Append {
            conditions: vec![condition("thing.moved"), condition("thing.made")],
            ..plain(ExpectedVersion::Any)
        },
        Append { conditions: vec![condition("thing.put")], ..plain(ExpectedVersion::NoStream) },
        reserving(vec![take(3, "b"), take(2, "b"), take(1, "b")]),
        reserving(vec![take(1, "a"), take(3, "b")]),
        reserving(vec![release(1, "a"), take(1, "b")]),
        Append { conditions: vec![condition("thing.put")], ..reserving(vec![take(2, "b")]) },
    ] {
        let head = store.head().await.unwrap().mark;
        let told = log.check(&append).await.unwrap();
        assert_eq!(store.head().await.unwrap().mark, head);
        match log.append(append.clone()).await.unwrap() {
            AppendOutcome::Appended(_) => assert_eq!(told, None, "{append:?}"),
            AppendOutcome::Refused(refusal) => assert_eq!(told, Some(refusal), "{append:?}"),
            AppendOutcome::Repeated { .. } => panic!("there is no key"),
        }
    }
    assert!(matches!(
        log.check(&reserving(vec![take(1, "a"), take(1, "b")])).await,
        Err(UpcastingError::Store(_))
    ));
    assert_eq!(at, Position(1));
}

/// Returns random current and past types for a query.
fn some_types(random: &mut StdRng) -> Vec<event_store::EventType> {
    let count = random.random_range(0..3);
    (0..count).map(|_| WRITTEN.choose(random).unwrap().0.parse().unwrap()).collect()
}

fn some_tags(random: &mut StdRng, least: usize) -> Vec<event_store::Tag> {
    let count = random.random_range(least..3);
    (0..count).map(|_| format!("tag:{}", random.random_range(0..4)).parse().unwrap()).collect()
}

fn some_query(random: &mut StdRng, least_tags: usize) -> EventQuery {
    let items = random.random_range(1..3);
    EventQuery {
        items: (0..items)
            .map(|_| QueryItem { types: some_types(random), tags: some_tags(random, least_tags) })
            .collect(),
    }
}

async fn reads_and_conditions_equal_those_over_a_log_that_was_upcast_as_a_whole(
    store: Arc<dyn EventStore>,
) {
    let (mut random, registry, log) = (random(), registry(), log(&store));
    for round in 0..test_run().count(40, 600) {
        let events = (0..random.random_range(1..4)).map(|_| {
            let mut event = written(*WRITTEN.choose(&mut random).unwrap(), &[]);
            event.tags = some_tags(&mut random, 0);
            event.tags.sort();
            event.tags.dedup();
            event
        });
        write(&store, "a", events.collect()).await;
        let stored = store.read(&Filter::All, Position::START, 10_000).await.unwrap();
        let upcast: Vec<RecordedEvent> =
            stored.iter().flat_map(|event| registry.upcast(event).unwrap().into_owned()).collect();
        for filter in [
            Filter::Query(some_query(&mut random, 0)),
            Filter::Types(some_types(&mut random)),
            Filter::All,
        ] {
            let naive: Vec<RecordedEvent> =
                upcast.iter().filter(|event| filter.matches(event)).cloned().collect();
            let page = random.random_range(1..20);
            assert_eq!(
                names(&all(&log, &filter, page).await),
                names(&naive),
                "round {round}: {filter:?} in pages of {page}"
            );
        }
        let (asked, after) = (
            some_query(&mut random, 1),
            Position(random.random_range(0..=stored.last().unwrap().position.0)),
        );
        let broken = upcast
            .iter()
            .find(|event| event.position > after && asked.matches_event(event))
            .map(|event| event.position);
        match (unless(&log, asked.clone(), after).await, broken) {
            (AppendOutcome::Appended(_), None) => {}
            (AppendOutcome::Refused(refusal), Some(position)) => {
                assert_eq!(refusal, Refusal::Condition { index: 0, position });
            }
            (outcome, naive) => {
                panic!("round {round}: {asked:?} after {after}: {outcome:?}, and naively {naive:?}")
            }
        }
    }
}

#[test]
fn a_registry_that_would_leave_an_event_unreadable_is_refused() {
    const KEPT: event_store::registry::Upcast = |data| Ok(vec![("thing.a", data)]);
    let of = |current: &[Shape], past: &[Past]| {
        Registry::new(current.iter().copied(), past.iter().copied())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(of(&[("thing.a", 2)], &[(("thing.a", 1), &[("thing.a", 2)], KEPT)]), Ok(()));
    assert_eq!(of(&[("thing.a", 2)], &[]), Err("thing.a v1 has no upcaster".to_owned()));
    assert_eq!(
        of(&[], &[(("thing.b", 2), &[], KEPT)]),
        Err("thing.b v1 has no upcaster".to_owned())
    );
    assert_eq!(
        of(&[("thing.a", 1), ("thing.a", 2)], &[]),
        Err("thing.a v2 is listed twice".to_owned())
    );
    let nowhere = of(&[("thing.a", 1)], &[(("thing.b", 1), &[("thing.a", 2)], KEPT)]);
    assert_eq!(
        nowhere,
        Err("thing.b v1 becomes a shape that is not listed: thing.a v2".to_owned())
    );
    let newer = of(&[("thing.a", 1)], &[(("thing.a", 2), &[("thing.a", 1)], KEPT)]);
    assert_eq!(
        newer,
        Err("thing.a v2 is listed as past but is newer than the version that is written".to_owned())
    );
    let circle: &[Past] =
        &[(("thing.b", 1), &[("thing.c", 1)], KEPT), (("thing.c", 1), &[("thing.b", 1)], KEPT)];
    assert!(of(&[], circle).unwrap_err().ends_with("becomes itself again"));
    assert!(matches!(Registry::new([("no type", 1)], []), Err(InvalidRegistry::Name(_))));
}

#[tokio::test]
async fn what_the_log_holds_is_found_by_leaps_over_the_indexes() {
    let database = database().await;
    let store: Arc<dyn EventStore> = Arc::new(connect(database.url()).await);
    for batch in 0..10 {
        write(
            &store,
            &format!("{batch}"),
            (0..1_000).map(|n| written(WRITTEN[n % WRITTEN.len()], &[])).collect(),
        )
        .await;
    }
    let mut connection = plain(database.url()).await;
    sqlx::raw_sql("ANALYZE event_store.events").execute(&mut connection).await.unwrap();
    let statement =
        concat!("EXPLAIN (ANALYZE, FORMAT JSON) ", include_str!("../../sql/written_types.sql"));
    let plan: Value = sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap();
    let text = plan.to_string();
    assert!(
        !text.contains("Seq Scan")
            && text.contains("events_type_later_version")
            && text.contains("events_type_position"),
        "{plan:#}"
    );
}
