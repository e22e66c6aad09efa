//! An append is all or nothing, and happens at most once.

use std::sync::Arc;

use crate::append::{Append, AppendOutcome, Refusal, StreamAppend};
use crate::error::StoreError;
use crate::event::Position;
use crate::store::EventStore;
use crate::stream::{ExpectedVersion, Version};
use crate::test_kit::{
    append_to, appended, check_dense, event, key, one, refused, repeated, stream, tagged, take,
};

pub async fn p1_p2_positions_and_versions_are_dense_over_several_streams(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    for round in 0..5 {
        let streams = (0..3).map(|s| StreamAppend {
            stream: stream(s),
            expected: ExpectedVersion::Exact(Version(round * s)),
            events: (0..s).map(|_| event("thing.happened")).collect(),
        });
        let outcome = appended(
            store.append(Append { streams: streams.collect(), ..Append::default() }).await.unwrap(),
        );
        let versions = (0..3).map(|s| (stream(s), Version((round + 1) * s))).collect::<Vec<_>>();
        assert_eq!((outcome.count, outcome.versions), (3, versions));
        assert_eq!(outcome.last.position, Position((round + 1) * 3));
    }
    assert_eq!(check_dense(store).await, Position(15));
}

pub async fn p3_a_refused_append_changes_nothing(store: Arc<dyn EventStore>) {
    let store = &*store;
    appended(store.append(one("b")).await.unwrap());
    let mut append = one("a");
    append.streams.push(StreamAppend {
        stream: stream("b"),
        expected: ExpectedVersion::NoStream,
        events: Vec::new(),
    });
    append.reservations.push(take(1, "a"));
    append.idempotency = Some(key(1, 1, "1"));
    assert!(matches!(
        refused(store.append(append.clone()).await.unwrap()),
        Refusal::Version { actual: Version(1), .. }
    ));
    assert_eq!(check_dense(store).await, Position(1));
    assert!(store.repeated(&key(1, 1, "1")).await.unwrap().is_none());
    append.streams.pop();
    append.reservations[0] = take(1, "other");
    appended(store.append(append).await.unwrap());
}

pub async fn p9_a_repeat_under_one_key_has_one_effect_and_the_same_answer(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let answer = r#"{"id": 1.10}"#;
    let command = |request| Append { idempotency: Some(key(1, request, answer)), ..one("a") };
    assert!(store.repeated(&key(1, 1, "null")).await.unwrap().is_none());
    let first = appended(store.append(command(1)).await.unwrap());
    appended(store.append(one("a")).await.unwrap());
    for outcome in [
        store.append(command(1)).await.unwrap(),
        store.repeated(&key(1, 1, "null")).await.unwrap().unwrap(),
    ] {
        let (again, given) = repeated(outcome);
        assert_eq!((again, given.as_str()), (first.clone(), answer));
    }
    assert_eq!(refused(store.append(command(2)).await.unwrap()), Refusal::KeyReused);
    assert_eq!(
        refused(store.repeated(&key(1, 2, "null")).await.unwrap().unwrap()),
        Refusal::KeyReused
    );
    assert_eq!(check_dense(store).await, Position(2));
}

pub async fn p9_an_append_without_events_can_record_its_outcome(store: Arc<dyn EventStore>) {
    let store = &*store;
    let before = appended(store.append(one("a")).await.unwrap());
    let command =
        || Append { idempotency: Some(key(1, 1, "\"nothing to do\"")), ..Append::default() };
    let first = appended(store.append(command()).await.unwrap());
    assert_eq!((first.count, first.last, first.versions.len()), (0, before.last, 0));
    let (again, answer) = repeated(store.append(command()).await.unwrap());
    assert_eq!((again, answer.as_str()), (first, "\"nothing to do\""));
    assert_eq!(check_dense(store).await, Position(1));
}

pub async fn the_same_append_again_is_recognised_by_its_event_ids(store: Arc<dyn EventStore>) {
    let store = &*store;
    let append = append_to(
        stream("a"),
        ExpectedVersion::NoStream,
        vec![event("thing.made"), event("thing.used")],
    );
    let first = appended(store.append(append.clone()).await.unwrap());
    appended(store.append(one("a")).await.unwrap());
    assert_eq!(appended(store.append(append).await.unwrap()), first);
    assert_eq!(check_dense(store).await, Position(3));
}

pub async fn an_event_id_of_another_append_is_refused(store: Arc<dyn EventStore>) {
    let store = &*store;
    let (first, second) = (event("thing.made"), event("thing.made"));
    let to = |name: &str, events| append_to(stream(name), ExpectedVersion::Any, events);
    appended(store.append(to("a", vec![first.clone()])).await.unwrap());
    let duplicate = Refusal::DuplicateEvent { id: first.id };
    assert_eq!(refused(store.append(to("b", vec![first.clone()])).await.unwrap()), duplicate);
    assert_eq!(
        refused(store.append(to("a", vec![second, first.clone()])).await.unwrap()),
        duplicate
    );
    let other_data = crate::NewEvent { data: serde_json::from_str("{}").unwrap(), ..first.clone() };
    assert_eq!(refused(store.append(to("a", vec![other_data])).await.unwrap()), duplicate);
    assert_eq!(check_dense(store).await, Position(1));
    let twice = store.append(to("c", vec![first.clone(), first])).await.unwrap_err();
    assert!(matches!(twice, StoreError::Invalid(_)), "{twice:?}");
}

pub async fn p9_another_append_with_the_firsts_event_id_is_a_repeat_under_its_key(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let command = |event| Append {
        idempotency: Some(key(1, 1, "1")),
        ..append_to(stream("a"), ExpectedVersion::Any, vec![event])
    };
    let first = event("thing.made");
    let mut other = event("thing.made");
    other.id = first.id;
    let made = appended(store.append(command(first)).await.unwrap());
    assert_eq!(repeated(store.append(command(other)).await.unwrap()), (made, "1".to_owned()));
}

pub async fn limits_are_checked_before_anything_is_sent(store: Arc<dyn EventStore>) {
    let store = &*store;
    let text = |length| format!("\"{}\"", "x".repeat(length));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with_data = |data: String| {
        let event = crate::NewEvent {
            data: serde_json::value::RawValue::from_string(data).unwrap(),
            ..event("thing.made")
        };
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
    let no_version = crate::NewEvent { schema_version: 0, ..event("thing.made") };
    for bad in [
        with_data(text(512 * 1024)),
        with_data(nested(65)),
        with_data(r#"{"a": ["b", "c\u0000"]}"#.to_owned()),
        with_data(r#""\ud83d alone""#.to_owned()),
        with_data(r#""\ude00\ud83d""#.to_owned()),
        append_to(stream("a"), ExpectedVersion::Any, vec![many_tags]),
        append_to(stream("a"), ExpectedVersion::Any, vec![no_version]),
        append_to(
            stream("a"),
            ExpectedVersion::Any,
            (0..1_001).map(|_| event("thing.made")).collect(),
        ),
        Append {
            streams: [one("a"), one("a")].into_iter().flat_map(|a| a.streams).collect(),
            ..Append::default()
        },
        Append { reservations: vec![take(1, "a"), take(1, "b")], ..one("a") },
    ] {
        let error = store.append(bad).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
    assert_eq!(check_dense(store).await, Position(5));
}
