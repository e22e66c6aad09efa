//! The requirements of an append, and the refusals when they do not hold.

use std::sync::Arc;

use uuid::Uuid;

use crate::append::{Append, AppendCondition, MAX_SUBJECTS, Refusal, StreamAppend};
use crate::error::StoreError;
use crate::event::Position;
use crate::store::EventStore;
use crate::stream::{ExpectedVersion, Version};
use crate::subject::{SUBJECT_ERASED, subject_stream};
use crate::test_kit::{
    append_to, appended, check_dense, event, key, metadata, one, query, refused, release, repeated,
    reservation, stream, tagged, take,
};

pub async fn expected_versions_are_checked_and_the_actual_one_is_told(store: Arc<dyn EventStore>) {
    use ExpectedVersion::{Any, Exact, NoStream, StreamExists};
    let store = &*store;
    let attempt = async |expected| {
        store.append(append_to(stream("a"), expected, vec![event("thing.happened")])).await.unwrap()
    };
    let refusal = |expected, actual| Refusal::Version {
        stream: stream("a"),
        expected,
        actual: Version(actual),
    };
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

pub async fn a_condition_is_broken_by_a_matching_event_after_the_position(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let tags = ["thing:1", "room:9"];
    appended(
        store
            .append(append_to(stream("x"), ExpectedVersion::Any, vec![tagged("thing.made", &tags)]))
            .await
            .unwrap(),
    );
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

pub async fn a_condition_without_a_tag_is_invalid(store: Arc<dyn EventStore>) {
    let store = &*store;
    for query in [query(&["thing.made"], &[]), crate::EventQuery::default()] {
        let conditions = vec![AppendCondition { query, after: Position::START }];
        let error = store.append(Append { conditions, ..one("a") }).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
}

pub async fn reservations_are_taken_moved_and_released(store: Arc<dyn EventStore>) {
    let store = &*store;
    let attempt =
        async |reservations| store.append(Append { reservations, ..one("x") }).await.unwrap();
    let held = |index, owner: &str| Refusal::Reservation { index, owner: stream(owner) };
    appended(attempt(vec![take(1, "a"), take(2, "a")]).await);
    appended(attempt(vec![take(1, "a")]).await);
    assert_eq!(refused(attempt(vec![take(3, "b"), take(2, "b")]).await), held(1, "a"));
    appended(attempt(vec![take(3, "b")]).await);
    // The stream does not hold the value: nothing changes, and the holder keeps it.
    appended(attempt(vec![release(1, "b")]).await);
    assert_eq!(refused(attempt(vec![take(1, "b")]).await), held(0, "a"));
    appended(attempt(vec![release(1, "a"), take(4, "a")]).await);
    appended(attempt(vec![take(1, "b")]).await);
    // One append moves the value from one stream to the other.
    appended(attempt(vec![release(1, "b"), take(1, "c")]).await);
    assert_eq!(refused(attempt(vec![release(1, "b"), take(1, "b")]).await), held(1, "c"));
    let error = store
        .append(Append { reservations: vec![take(9, "a")], ..Append::default() })
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Invalid(_)),
        "an append of reservations alone cannot be recognised when sent again: {error:?}"
    );
    assert_eq!(reservation(9).hash.len(), 32);
}

pub async fn nothing_of_a_subject_and_no_reservation_for_it_comes_behind_its_erasure(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let (ada, bob) = (Uuid::from_u128(0xada), Uuid::from_u128(0xb0b));
    let of = |subjects: &[Uuid]| Append { subjects: subjects.to_vec(), ..one("a") };
    let reserving = |value, owner: Uuid| Append {
        reservations: vec![take(value, &owner.to_string())],
        ..one("a")
    };
    let keyed = || Append { idempotency: Some(key(1, 1, "1")), ..of(&[ada]) };
    let first = appended(store.append(keyed()).await.unwrap());
    appended(store.append(reserving(1, ada)).await.unwrap());
    let told = append_to(
        subject_stream(ada).unwrap(),
        ExpectedVersion::NoStream,
        vec![event(SUBJECT_ERASED)],
    );
    let release = vec![release(1, &ada.to_string())];
    appended(store.append(Append { reservations: release, ..told }).await.unwrap());
    let refusal = Refusal::SubjectErased { subject: ada };
    assert_eq!(refused(store.append(of(&[bob, ada])).await.unwrap()), refusal);
    assert_eq!(refused(store.append(reserving(2, ada)).await.unwrap()), refusal);
    assert_eq!(
        repeated(store.append(keyed()).await.unwrap()).0,
        first,
        "a repeat gets the first answer"
    );
    appended(store.append(of(&[bob])).await.unwrap());
    appended(store.append(reserving(1, bob)).await.unwrap());
    assert_eq!(check_dense(store).await, Position(5));
    let many = (0..=MAX_SUBJECTS as u128).map(Uuid::from_u128).collect();
    let error = store.append(Append { subjects: many, ..one("a") }).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
}

pub async fn a_broken_condition_does_not_hide_a_repeat(store: Arc<dyn EventStore>) {
    let store = &*store;
    let command = || Append {
        conditions: vec![AppendCondition {
            query: query(&[], &["seat:1"]),
            after: Position::START,
        }],
        idempotency: Some(key(1, 1, "1")),
        ..append_to(stream("a"), ExpectedVersion::NoStream, vec![tagged("seat.taken", &["seat:1"])])
    };
    let first = appended(store.append(command()).await.unwrap());
    assert_eq!(repeated(store.append(command()).await.unwrap()).0, first);
}

pub async fn a_caller_of_another_epoch_is_refused(store: Arc<dyn EventStore>) {
    let store = &*store;
    let actual = store.head().await.unwrap().epoch;
    appended(store.append(Append { epoch: Some(actual), ..one("a") }).await.unwrap());
    let other = crate::Epoch(Uuid::from_u128(1));
    assert_eq!(
        refused(store.append(Append { epoch: Some(other), ..one("a") }).await.unwrap()),
        Refusal::Epoch { actual }
    );
}

pub async fn a_closed_stream_takes_no_event_and_says_so(store: Arc<dyn EventStore>) {
    use ExpectedVersion::{Any, Exact, NoStream, StreamExists};
    let store = &*store;
    appended(store.append(one("a")).await.unwrap());
    let closing = || StreamAppend::closing(stream("a"), Exact(Version(1)), metadata());
    let wrong = StreamAppend::closing(stream("a"), Exact(Version(2)), metadata());
    let refusal =
        refused(store.append(Append { streams: vec![wrong], ..Append::default() }).await.unwrap());
    assert!(matches!(refusal, Refusal::Version { actual: Version(1), .. }), "{refusal:?}");
    let append = Append { streams: vec![closing()], ..Append::default() };
    let first = appended(store.append(append.clone()).await.unwrap());
    assert_eq!(first.versions, vec![(stream("a"), Version(2))]);
    assert_eq!(appended(store.append(append).await.unwrap()), first, "a repeat is recognised");
    let closed = Refusal::Closed { stream: stream("a") };
    for expected in [Any, NoStream, StreamExists, Exact(Version(2)), Exact(Version(7))] {
        let outcome = store
            .append(append_to(stream("a"), expected, vec![event("thing.happened")]))
            .await
            .unwrap();
        assert_eq!(refused(outcome), closed, "{expected:?}");
    }
    assert_eq!(
        refused(
            store.append(Append { streams: vec![closing()], ..Append::default() }).await.unwrap()
        ),
        closed
    );
    // A stream entry that only requires a version still gets it, and other appends are not held up.
    let asking = |expected| StreamAppend { stream: stream("a"), expected, events: Vec::new() };
    let other = append_to(stream("b"), NoStream, vec![event("thing.happened")]);
    let with = |expected| Append {
        streams: vec![other.streams[0].clone(), asking(expected)],
        ..Append::default()
    };
    let refusal = refused(store.append(with(Exact(Version(1)))).await.unwrap());
    assert_eq!(
        refusal,
        Refusal::Version { stream: stream("a"), expected: Exact(Version(1)), actual: Version(2) }
    );
    let outcome = appended(store.append(with(Exact(Version(2)))).await.unwrap());
    assert_eq!(outcome.versions, vec![(stream("b"), Version(1)), (stream("a"), Version(2))]);
    let last = store.read_stream_backward(&stream("a"), None, 1).await.unwrap();
    assert!(last[0].event_type.closes_stream());
    assert_eq!(check_dense(store).await, Position(3));
}

pub async fn nothing_comes_after_the_event_that_closes_a_stream(store: Arc<dyn EventStore>) {
    let store = &*store;
    let closing = StreamAppend::closing(stream("a"), ExpectedVersion::Any, metadata()).events;
    let after = closing.into_iter().chain([event("thing.happened")]).collect();
    let error =
        store.append(append_to(stream("a"), ExpectedVersion::Any, after)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    let mut events = vec![event("thing.happened")];
    events.extend(StreamAppend::closing(stream("a"), ExpectedVersion::Any, metadata()).events);
    appended(
        store.append(append_to(stream("a"), ExpectedVersion::NoStream, events)).await.unwrap(),
    );
    assert_eq!(
        refused(store.append(one("a")).await.unwrap()),
        Refusal::Closed { stream: stream("a") }
    );
}

pub async fn a_condition_is_checked_however_many_events_have_its_tag(store: Arc<dyn EventStore>) {
    let store = &*store;
    let others = |count| {
        append_to(
            stream("many"),
            ExpectedVersion::Any,
            (0..count).map(|_| tagged("thing.used", &["room:1"])).collect(),
        )
    };
    appended(store.append(others(450)).await.unwrap());
    appended(
        store
            .append(append_to(
                stream("last"),
                ExpectedVersion::Any,
                vec![tagged("thing.gone", &["room:1", "b:1"])],
            ))
            .await
            .unwrap(),
    );
    appended(store.append(others(450)).await.unwrap());
    let attempt = async |types: &[&str], tags: &[&str], after| {
        let conditions =
            vec![AppendCondition { query: query(types, tags), after: Position(after) }];
        store.append(Append { conditions, ..one("y") }).await.unwrap()
    };
    let broken = |position| Refusal::Condition { index: 0, position: Position(position) };
    assert_eq!(refused(attempt(&["thing.gone"], &["room:1"], 0).await), broken(451));
    assert_eq!(refused(attempt(&[], &["room:1", "b:1"], 0).await), broken(451));
    assert_eq!(refused(attempt(&["thing.gone"], &["room:1"], 450).await), broken(451));
    assert_eq!(refused(attempt(&[], &["room:1"], 0).await), broken(1));
    assert_eq!(refused(attempt(&[], &["room:1"], 900).await), broken(901));
    appended(attempt(&["thing.gone"], &["room:1"], 451).await);
    appended(attempt(&["thing.never"], &["room:1"], 0).await);
    appended(attempt(&[], &["room:1"], 901).await);
}
