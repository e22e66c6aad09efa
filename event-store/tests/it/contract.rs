//! The contract of an event store: every test runs against Postgres and against memory alike.

use event_store::{
    Append, AppendCondition, AppendOutcome, Epoch, EventStore, ExpectedVersion, Filter, Mark, Position, Refusal, StoreError,
    StreamAppend, Version,
};
use futures::StreamExt;
use uuid::Uuid;

use crate::support::{
    append_to, appended, check_dense, claim, event, key, metadata, on_both, one, query, refused, release, repeated, stream,
    tagged, take,
};

on_both! { &
    an_empty_log_has_an_epoch_and_no_event
    events_are_read_as_they_were_appended
    p1_p2_positions_and_versions_are_dense_over_several_streams
    expected_versions_are_checked_and_the_actual_one_is_told
    p3_a_refused_append_changes_nothing
    a_condition_is_broken_by_a_matching_event_after_the_position
    a_condition_without_a_tag_is_invalid
    claims_are_taken_moved_and_released
    p9_a_repeat_under_one_key_has_one_effect_and_the_same_answer
    p9_an_append_without_events_can_record_its_outcome
    a_broken_condition_does_not_hide_a_repeat
    a_caller_of_another_epoch_is_refused
    a_closed_stream_takes_no_event_and_says_so
    nothing_comes_after_the_event_that_closes_a_stream
    the_same_append_again_is_recognised_by_its_event_ids
    an_event_id_of_another_append_is_refused
    p9_another_append_with_the_firsts_event_id_is_a_repeat_under_its_key
    reads_filter_by_category_type_and_tags
    ranges_hold_every_event_of_their_types
    streams_are_read_forward_and_backward_in_pages
    marks_prove_what_stands_at_a_position
    a_subscription_catches_up_and_goes_on_live
    limits_are_checked_before_anything_is_sent
}

async fn an_empty_log_has_an_epoch_and_no_event(store: &dyn EventStore) {
    let head = store.head().await.unwrap();
    assert_eq!(head.mark, Mark::START);
    assert_ne!(head.epoch.0, Uuid::nil());
    assert!(store.descends_from(head.epoch).await.unwrap() && !store.descends_from(Epoch(Uuid::nil())).await.unwrap());
    assert_eq!(store.read(&Filter::All, Position::START, 10).await.unwrap().len(), 0);
    assert_eq!(store.mark_at(Position(1)).await.unwrap(), None);
    assert_eq!(store.mark_at(Position::START).await.unwrap(), Some(Mark::START));
}

async fn events_are_read_as_they_were_appended(store: &dyn EventStore) {
    let mut new = tagged("thing.made", &["thing:1", "colour:red"]);
    new.metadata.actor = Some("someone \"quoted\" {}, \\ ü".into());
    new.metadata.causation_id = Some(Uuid::from_u128(7));
    new.data =
        serde_json::from_str(r#"{"b": 1.10, "a": "ü\n\"{},\\ NULL", "big": 123456789012345678901234567890, "b": 2}"#).unwrap();
    let outcome = appended(store.append(append_to(stream("a"), ExpectedVersion::NoStream, vec![new.clone()])).await.unwrap());
    assert_eq!((outcome.count, outcome.versions), (1, vec![(stream("a"), Version(1))]));
    assert_eq!(outcome.last, Mark { position: Position(1), event_id: Some(new.id) });
    let read = store.read_stream(&stream("a"), Version::NONE, 10).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!((read[0].id, &read[0].event_type, read[0].schema_version), (new.id, &new.event_type, 1));
    assert_eq!((read[0].data.get(), &read[0].tags, &read[0].metadata), (new.data.get(), &new.tags, &new.metadata));
    assert_eq!((read[0].position, read[0].version, &read[0].stream), (Position(1), Version(1), &stream("a")));
    assert_eq!(store.head().await.unwrap().mark, outcome.last);
}

async fn p1_p2_positions_and_versions_are_dense_over_several_streams(store: &dyn EventStore) {
    for round in 0..5 {
        let streams = (0..3).map(|s| StreamAppend {
            stream: stream(s),
            expected: ExpectedVersion::Exact(Version(round * s)),
            events: (0..s).map(|_| event("thing.happened")).collect(),
        });
        let outcome = appended(store.append(Append { streams: streams.collect(), ..Append::default() }).await.unwrap());
        let versions = (0..3).map(|s| (stream(s), Version((round + 1) * s))).collect::<Vec<_>>();
        assert_eq!((outcome.count, outcome.versions), (3, versions));
        assert_eq!(outcome.last.position, Position((round + 1) * 3));
    }
    assert_eq!(check_dense(store).await, Position(15));
}

async fn expected_versions_are_checked_and_the_actual_one_is_told(store: &dyn EventStore) {
    use ExpectedVersion::{Any, Exact, NoStream, StreamExists};
    let attempt = async |expected| store.append(append_to(stream("a"), expected, vec![event("thing.happened")])).await.unwrap();
    let refusal = |expected, actual| Refusal::Version { stream: stream("a"), expected, actual: Version(actual) };
    assert_eq!(refused(attempt(StreamExists).await), refusal(StreamExists, 0));
    assert_eq!(refused(attempt(Exact(Version(1))).await), refusal(Exact(Version(1)), 0));
    appended(attempt(NoStream).await);
    assert_eq!(refused(attempt(NoStream).await), refusal(NoStream, 1));
    appended(attempt(StreamExists).await);
    appended(attempt(Exact(Version(2))).await);
    appended(attempt(Any).await);
    assert_eq!(refused(attempt(Exact(Version(3))).await), refusal(Exact(Version(3)), 4));
    assert_eq!(check_dense(store).await, Position(4));
}

async fn p3_a_refused_append_changes_nothing(store: &dyn EventStore) {
    appended(store.append(one("b")).await.unwrap());
    let mut append = one("a");
    append.streams.push(StreamAppend { stream: stream("b"), expected: ExpectedVersion::NoStream, events: Vec::new() });
    append.claims.push(take(1, "a"));
    append.idempotency = Some(key(1, 1, "1"));
    assert!(matches!(refused(store.append(append.clone()).await.unwrap()), Refusal::Version { actual: Version(1), .. }));
    assert_eq!(check_dense(store).await, Position(1));
    assert!(store.repeated(&key(1, 1, "1")).await.unwrap().is_none());
    append.streams.pop();
    append.claims[0] = take(1, "other");
    appended(store.append(append).await.unwrap());
}

async fn a_condition_is_broken_by_a_matching_event_after_the_position(store: &dyn EventStore) {
    let tags = ["thing:1", "room:9"];
    appended(store.append(append_to(stream("x"), ExpectedVersion::Any, vec![tagged("thing.made", &tags)])).await.unwrap());
    let attempt = async |types: &[&str], tags: &[&str], after| {
        let conditions = vec![
            AppendCondition { query: query(&[], &["nobody:1"]), after: Position::START },
            AppendCondition { query: query(types, tags), after: Position(after) },
        ];
        store.append(Append { conditions, ..one("y") }).await.unwrap()
    };
    let broken = Refusal::Condition { index: 1, position: Position(1) };
    assert_eq!(refused(attempt(&[], &["thing:1"], 0).await), broken);
    assert_eq!(refused(attempt(&["thing.gone", "thing.made"], &["room:9"], 0).await), broken);
    assert_eq!(refused(attempt(&[], &["room:9", "thing:1"], 0).await), broken);
    appended(attempt(&["thing.gone"], &["thing:1"], 0).await);
    appended(attempt(&[], &["thing:1", "room:8"], 0).await);
    appended(attempt(&[], &["thing:1"], 1).await);
    appended(attempt(&[], &["thing:1"], 4).await);
    let mut both = query(&["thing.gone"], &["thing:1"]);
    both.items.extend(query(&[], &["room:9"]).items);
    let conditions = vec![AppendCondition { query: both, after: Position::START }];
    let refusal = refused(store.append(Append { conditions, ..one("y") }).await.unwrap());
    assert_eq!(refusal, Refusal::Condition { index: 0, position: Position(1) });
    assert_eq!(check_dense(store).await, Position(5));
}

async fn a_condition_without_a_tag_is_invalid(store: &dyn EventStore) {
    for query in [query(&["thing.made"], &[]), event_store::EventQuery::default()] {
        let conditions = vec![AppendCondition { query, after: Position::START }];
        let error = store.append(Append { conditions, ..one("a") }).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
}

async fn claims_are_taken_moved_and_released(store: &dyn EventStore) {
    let attempt = async |claims| store.append(Append { claims, ..one("x") }).await.unwrap();
    let held = |index, owner: &str| Refusal::Claim { index, owner: stream(owner) };
    appended(attempt(vec![take(1, "a"), take(2, "a")]).await);
    appended(attempt(vec![take(1, "a")]).await);
    assert_eq!(refused(attempt(vec![take(3, "b"), take(2, "b")]).await), held(1, "a"));
    appended(attempt(vec![take(3, "b")]).await);
    // Not its own: nothing to do, and still held.
    appended(attempt(vec![release(1, "b")]).await);
    assert_eq!(refused(attempt(vec![take(1, "b")]).await), held(0, "a"));
    appended(attempt(vec![release(1, "a"), take(4, "a")]).await);
    appended(attempt(vec![take(1, "b")]).await);
    // Moved from one to the other in one append.
    appended(attempt(vec![release(1, "b"), take(1, "c")]).await);
    assert_eq!(refused(attempt(vec![release(1, "b"), take(1, "b")]).await), held(1, "c"));
    let error = store.append(Append { claims: vec![take(9, "a")], ..Append::default() }).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "an append of claims alone cannot be recognised when sent again: {error:?}");
    assert_eq!(claim(9).hash.len(), 32);
}

async fn p9_a_repeat_under_one_key_has_one_effect_and_the_same_answer(store: &dyn EventStore) {
    let answer = r#"{"id": 1.10}"#;
    let command = |request| Append { idempotency: Some(key(1, request, answer)), ..one("a") };
    assert!(store.repeated(&key(1, 1, "null")).await.unwrap().is_none());
    let first = appended(store.append(command(1)).await.unwrap());
    appended(store.append(one("a")).await.unwrap());
    for outcome in [store.append(command(1)).await.unwrap(), store.repeated(&key(1, 1, "null")).await.unwrap().unwrap()] {
        let (again, given) = repeated(outcome);
        assert_eq!((again, given.as_str()), (first.clone(), answer));
    }
    assert_eq!(refused(store.append(command(2)).await.unwrap()), Refusal::KeyReused);
    assert_eq!(refused(store.repeated(&key(1, 2, "null")).await.unwrap().unwrap()), Refusal::KeyReused);
    assert_eq!(check_dense(store).await, Position(2));
}

async fn p9_an_append_without_events_can_record_its_outcome(store: &dyn EventStore) {
    let before = appended(store.append(one("a")).await.unwrap());
    let command = || Append { idempotency: Some(key(1, 1, "\"nothing to do\"")), ..Append::default() };
    let first = appended(store.append(command()).await.unwrap());
    assert_eq!((first.count, first.last, first.versions.len()), (0, before.last, 0));
    let (again, answer) = repeated(store.append(command()).await.unwrap());
    assert_eq!((again, answer.as_str()), (first, "\"nothing to do\""));
    assert_eq!(check_dense(store).await, Position(1));
}

async fn a_broken_condition_does_not_hide_a_repeat(store: &dyn EventStore) {
    let command = || Append {
        conditions: vec![AppendCondition { query: query(&[], &["seat:1"]), after: Position::START }],
        idempotency: Some(key(1, 1, "1")),
        ..append_to(stream("a"), ExpectedVersion::NoStream, vec![tagged("seat.taken", &["seat:1"])])
    };
    let first = appended(store.append(command()).await.unwrap());
    assert_eq!(repeated(store.append(command()).await.unwrap()).0, first);
}

async fn a_caller_of_another_epoch_is_refused(store: &dyn EventStore) {
    let actual = store.head().await.unwrap().epoch;
    appended(store.append(Append { epoch: Some(actual), ..one("a") }).await.unwrap());
    let other = event_store::Epoch(Uuid::from_u128(1));
    assert_eq!(refused(store.append(Append { epoch: Some(other), ..one("a") }).await.unwrap()), Refusal::Epoch { actual });
}

async fn a_closed_stream_takes_no_event_and_says_so(store: &dyn EventStore) {
    use ExpectedVersion::{Any, Exact, NoStream, StreamExists};
    appended(store.append(one("a")).await.unwrap());
    let closing = || StreamAppend::closing(stream("a"), Exact(Version(1)), metadata());
    let wrong = StreamAppend::closing(stream("a"), Exact(Version(2)), metadata());
    let refusal = refused(store.append(Append { streams: vec![wrong], ..Append::default() }).await.unwrap());
    assert!(matches!(refusal, Refusal::Version { actual: Version(1), .. }), "{refusal:?}");
    let append = Append { streams: vec![closing()], ..Append::default() };
    let first = appended(store.append(append.clone()).await.unwrap());
    assert_eq!(first.versions, vec![(stream("a"), Version(2))]);
    assert_eq!(appended(store.append(append).await.unwrap()), first, "sent again it is recognised");
    let closed = Refusal::Closed { stream: stream("a") };
    for expected in [Any, NoStream, StreamExists, Exact(Version(2)), Exact(Version(7))] {
        let outcome = store.append(append_to(stream("a"), expected, vec![event("thing.happened")])).await.unwrap();
        assert_eq!(refused(outcome), closed, "{expected:?}");
    }
    assert_eq!(refused(store.append(Append { streams: vec![closing()], ..Append::default() }).await.unwrap()), closed);
    // What only asks for its version still gets it, and others are not held up.
    let asking = |expected| StreamAppend { stream: stream("a"), expected, events: Vec::new() };
    let other = append_to(stream("b"), NoStream, vec![event("thing.happened")]);
    let with = |expected| Append { streams: vec![other.streams[0].clone(), asking(expected)], ..Append::default() };
    let refusal = refused(store.append(with(Exact(Version(1)))).await.unwrap());
    assert_eq!(refusal, Refusal::Version { stream: stream("a"), expected: Exact(Version(1)), actual: Version(2) });
    let outcome = appended(store.append(with(Exact(Version(2)))).await.unwrap());
    assert_eq!(outcome.versions, vec![(stream("b"), Version(1)), (stream("a"), Version(2))]);
    let last = store.read_stream_backward(&stream("a"), None, 1).await.unwrap();
    assert!(last[0].event_type.closes_stream());
    assert_eq!(check_dense(store).await, Position(3));
}

async fn nothing_comes_after_the_event_that_closes_a_stream(store: &dyn EventStore) {
    let closing = StreamAppend::closing(stream("a"), ExpectedVersion::Any, metadata()).events;
    let after = closing.into_iter().chain([event("thing.happened")]).collect();
    let error = store.append(append_to(stream("a"), ExpectedVersion::Any, after)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    let mut events = vec![event("thing.happened")];
    events.extend(StreamAppend::closing(stream("a"), ExpectedVersion::Any, metadata()).events);
    appended(store.append(append_to(stream("a"), ExpectedVersion::NoStream, events)).await.unwrap());
    assert_eq!(refused(store.append(one("a")).await.unwrap()), Refusal::Closed { stream: stream("a") });
}

async fn the_same_append_again_is_recognised_by_its_event_ids(store: &dyn EventStore) {
    let append = append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.made"), event("thing.used")]);
    let first = appended(store.append(append.clone()).await.unwrap());
    appended(store.append(one("a")).await.unwrap());
    assert_eq!(appended(store.append(append).await.unwrap()), first);
    assert_eq!(check_dense(store).await, Position(3));
}

async fn an_event_id_of_another_append_is_refused(store: &dyn EventStore) {
    let (first, second) = (event("thing.made"), event("thing.made"));
    let to = |name: &str, events| append_to(stream(name), ExpectedVersion::Any, events);
    appended(store.append(to("a", vec![first.clone()])).await.unwrap());
    let duplicate = Refusal::DuplicateEvent { id: first.id };
    assert_eq!(refused(store.append(to("b", vec![first.clone()])).await.unwrap()), duplicate);
    assert_eq!(refused(store.append(to("a", vec![second, first.clone()])).await.unwrap()), duplicate);
    let other_data = event_store::NewEvent { data: serde_json::from_str("{}").unwrap(), ..first.clone() };
    assert_eq!(refused(store.append(to("a", vec![other_data])).await.unwrap()), duplicate);
    assert_eq!(check_dense(store).await, Position(1));
    let twice = store.append(to("c", vec![first.clone(), first])).await.unwrap_err();
    assert!(matches!(twice, StoreError::Invalid(_)), "{twice:?}");
}

async fn p9_another_append_with_the_firsts_event_id_is_a_repeat_under_its_key(store: &dyn EventStore) {
    let command =
        |event| Append { idempotency: Some(key(1, 1, "1")), ..append_to(stream("a"), ExpectedVersion::Any, vec![event]) };
    let first = event("thing.made");
    let mut other = event("thing.made");
    other.id = first.id;
    let made = appended(store.append(command(first)).await.unwrap());
    assert_eq!(repeated(store.append(command(other)).await.unwrap()), (made, "1".to_owned()));
}

async fn reads_filter_by_category_type_and_tags(store: &dyn EventStore) {
    let other = |id: &str| event_store::StreamName::new("other", id).unwrap();
    for (name, event) in [
        (stream("1"), tagged("thing.made", &["a:1", "b:1"])),
        (other("1"), tagged("other.made", &["a:1"])),
        (stream("2"), tagged("thing.used", &["a:2", "b:1"])),
        (other("2"), tagged("thing.made", &[])),
        (stream("1"), tagged("thing.gone", &["a:1", "b:1"])),
    ] {
        appended(store.append(append_to(name, ExpectedVersion::Any, vec![event])).await.unwrap());
    }
    let positions = async |filter: &Filter, after, limit| {
        let events = store.read(filter, Position(after), limit).await.unwrap();
        events.iter().map(|e| e.position.0).collect::<Vec<_>>()
    };
    let types = |types: &[&str]| Filter::Types(types.iter().map(|t| t.parse().unwrap()).collect());
    assert_eq!(positions(&Filter::All, 0, 3).await, [1, 2, 3]);
    assert_eq!(positions(&Filter::All, 3, 3).await, [4, 5]);
    assert_eq!(positions(&Filter::Category("thing".into()), 0, 9).await, [1, 3, 5]);
    assert_eq!(positions(&Filter::Category("other".into()), 2, 9).await, [4]);
    assert_eq!(positions(&types(&["thing.gone", "thing.made", "thing.gone"]), 0, 9).await, [1, 4, 5]);
    assert_eq!(positions(&types(&["thing.gone", "thing.made"]), 1, 1).await, [4]);
    assert_eq!(positions(&Filter::Query(query(&[], &["a:1"])), 0, 9).await, [1, 2, 5]);
    assert_eq!(positions(&Filter::Query(query(&[], &["a:1", "b:1"])), 0, 9).await, [1, 5]);
    assert_eq!(positions(&Filter::Query(query(&["thing.gone"], &["b:1"])), 0, 9).await, [5]);
    let mut several = query(&[], &["b:1"]);
    several.items.extend(query(&["other.made"], &[]).items);
    several.items.extend(query(&[], &["a:2"]).items);
    assert_eq!(positions(&Filter::Query(several.clone()), 0, 9).await, [1, 2, 3, 5]);
    assert_eq!(positions(&Filter::Query(several), 1, 2).await, [2, 3]);
    assert_eq!(positions(&Filter::Query(event_store::EventQuery::default()), 0, 9).await, [1, 2, 3, 4, 5]);
    assert_eq!(positions(&Filter::Types(Vec::new()), 0, 9).await, [0_i64; 0]);
}

async fn ranges_hold_every_event_of_their_types(store: &dyn EventStore) {
    for number in 0..9 {
        let name = if number % 3 == 0 { "thing.kept" } else { "thing.made" };
        appended(store.append(append_to(stream("a"), ExpectedVersion::Any, vec![event(name)])).await.unwrap());
    }
    let types = ["thing.kept".parse().unwrap(), "thing.lost".parse().unwrap()];
    let range = async |after, to| {
        let events = store.read_range(&types, Position(after), Position(to)).await.unwrap();
        events.iter().map(|event| event.position.0).collect::<Vec<_>>()
    };
    assert_eq!(range(0, 9).await, [1, 4, 7]);
    assert_eq!(range(1, 4).await, [4], "after the one, up to the other");
    assert_eq!(range(4, 6).await, [0; 0]);
    assert_eq!(range(6, 99).await, [7], "the log may end before");
}

async fn streams_are_read_forward_and_backward_in_pages(store: &dyn EventStore) {
    for name in ["a", "b"] {
        let events = (0..5).map(|_| event("thing.happened")).collect();
        appended(store.append(append_to(stream(name), ExpectedVersion::NoStream, events)).await.unwrap());
    }
    let forward = async |after, limit| {
        let events = store.read_stream(&stream("b"), Version(after), limit).await.unwrap();
        events.iter().map(|e| e.version.0).collect::<Vec<_>>()
    };
    let backward = async |before: Option<i64>, limit| {
        let events = store.read_stream_backward(&stream("b"), before.map(Version), limit).await.unwrap();
        events.iter().map(|e| e.version.0).collect::<Vec<_>>()
    };
    assert_eq!(forward(0, 3).await, [1, 2, 3]);
    assert_eq!(forward(3, 3).await, [4, 5]);
    assert_eq!(backward(None, 2).await, [5, 4]);
    assert_eq!(backward(Some(4), 9).await, [3, 2, 1]);
    assert_eq!(store.read_stream(&stream("c"), Version::NONE, 9).await.unwrap().len(), 0);
}

async fn marks_prove_what_stands_at_a_position(store: &dyn EventStore) {
    let events = vec![event("thing.made"), event("thing.made")];
    let ids = events.iter().map(|e| e.id).collect::<Vec<_>>();
    appended(store.append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap());
    for (position, id) in (1..).zip(ids) {
        let mark = Mark { position: Position(position), event_id: Some(id) };
        assert_eq!(store.mark_at(Position(position)).await.unwrap(), Some(mark));
    }
    assert_eq!(store.mark_at(Position(3)).await.unwrap(), None);
}

async fn a_subscription_catches_up_and_goes_on_live(store: &dyn EventStore) {
    let add = async |count: usize| {
        let events = (0..count).flat_map(|_| [event("thing.used"), tagged("thing.made", &["a:1"])]).collect();
        appended(store.append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap());
    };
    add(400).await;
    let mut subscription = store.subscribe(Filter::Query(query(&[], &["a:1"])), Position(4));
    let mut next = async || tokio::time::timeout(std::time::Duration::from_secs(20), subscription.next()).await.unwrap().unwrap();
    for position in 3..=400 {
        assert_eq!(next().await.unwrap().position, Position(2 * position));
    }
    let live = async { next().await.unwrap().position };
    let ((), position) = tokio::join!(add(1), live);
    assert_eq!(position, Position(802));
}

async fn limits_are_checked_before_anything_is_sent(store: &dyn EventStore) {
    let text = |length| format!("\"{}\"", "x".repeat(length));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with_data = |data: String| {
        let event =
            event_store::NewEvent { data: serde_json::value::RawValue::from_string(data).unwrap(), ..event("thing.made") };
        append_to(stream("a"), ExpectedVersion::Any, vec![event])
    };
    for good in [
        text(500 * 1024),
        nested(64),
        r#""a \\u0000 [ is no NUL""#.to_owned(),
        format!("{:?}", "[{".repeat(100)),
        r#""\ud83d\ude00 \\ud800""#.to_owned(),
    ] {
        assert!(matches!(store.append(with_data(good)).await, Ok(AppendOutcome::Appended(_))));
    }
    let many_tags = (0..33).map(|n| format!("tag:{n}")).collect::<Vec<_>>();
    let many_tags = tagged("thing.made", &many_tags.iter().map(String::as_str).collect::<Vec<_>>());
    let no_version = event_store::NewEvent { schema_version: 0, ..event("thing.made") };
    for bad in [
        with_data(text(512 * 1024)),
        with_data(nested(65)),
        with_data(r#"{"a": ["b", "c\u0000"]}"#.to_owned()),
        with_data(r#""\ud83d alone""#.to_owned()),
        with_data(r#""\ude00\ud83d""#.to_owned()),
        append_to(stream("a"), ExpectedVersion::Any, vec![many_tags]),
        append_to(stream("a"), ExpectedVersion::Any, vec![no_version]),
        append_to(stream("a"), ExpectedVersion::Any, (0..1_001).map(|_| event("thing.made")).collect()),
        Append { streams: [one("a"), one("a")].into_iter().flat_map(|a| a.streams).collect(), ..Append::default() },
        Append { claims: vec![take(1, "a"), take(1, "b")], ..one("a") },
    ] {
        let error = store.append(bad).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
    assert_eq!(check_dense(store).await, Position(5));
}
