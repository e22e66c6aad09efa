//! Chained appends to one stream: each was decided on the state that the previous one will leave.

use std::sync::Arc;

use crate::append::{Append, Refusal};
use crate::event::Position;
use crate::store::EventStore;
use crate::stream::{ExpectedVersion, Version};
use crate::test_kit::{
    append_to, appended, behind, check_dense, event, key, one, refused, repeated, stream,
};

pub async fn p2_appends_behind_one_another_are_made_in_the_order_in_which_they_were_sent(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let mut chain =
        vec![append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.made")])];
    for version in 1..50 {
        let expected = behind(&chain[chain.len() - 1], version);
        chain.push(append_to(stream("a"), expected, vec![event("thing.used")]));
    }
    let outcomes =
        futures::future::join_all(chain.into_iter().map(|append| store.append(append))).await;
    for (outcome, version) in outcomes.into_iter().zip(1..) {
        let made = appended(outcome.unwrap());
        assert_eq!(
            (made.last.position, made.versions),
            (Position(version), vec![(stream("a"), Version(version))])
        );
    }
    assert_eq!(check_dense(store).await, Position(50));
}

pub async fn an_append_behind_a_refused_one_is_refused_whoever_took_the_version(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    appended(store.append(one("a")).await.unwrap());
    let late = append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.made")]);
    let next = |expected| append_to(stream("a"), expected, vec![event("thing.used")]);
    // It names version 1, the stream's version, but another event has that version.
    let (second, expected) = (next(behind(&late, 1)), behind(&late, 1));
    let outcomes = futures::future::join_all([store.append(late), store.append(second)]).await;
    let mut refusals = outcomes.into_iter().map(|outcome| refused(outcome.unwrap()));
    let told =
        |expected| Some(Refusal::Version { stream: stream("a"), expected, actual: Version(1) });
    assert_eq!(
        (refusals.next(), refusals.next()),
        (told(ExpectedVersion::NoStream), told(expected))
    );
    assert_eq!(check_dense(store).await, Position(1));
    let missing = ExpectedVersion::Behind { version: Version(0), event_id: uuid::Uuid::now_v7() };
    assert!(matches!(refused(store.append(next(missing)).await.unwrap()), Refusal::Version { .. }));
}

pub async fn p9_an_append_behind_a_repeat_fits_the_first_and_not_its_copy(
    store: Arc<dyn EventStore>,
) {
    let store = &*store;
    let command = || Append { idempotency: Some(key(1, 1, "1")), ..one("a") };
    let (first, copy) = (command(), command());
    let next =
        |append: &Append| append_to(stream("a"), behind(append, 1), vec![event("thing.used")]);
    let made = appended(store.append(first.clone()).await.unwrap());
    let sent = [copy.clone(), next(&copy), next(&first)].map(|append| store.append(append));
    let [again, behind_copy, behind_first] =
        <[_; 3]>::try_from(futures::future::join_all(sent).await).unwrap();
    assert_eq!(repeated(again.unwrap()), (made, "1".to_owned()));
    assert!(matches!(refused(behind_copy.unwrap()), Refusal::Version { actual: Version(1), .. }));
    assert_eq!(appended(behind_first.unwrap()).versions, [(stream("a"), Version(2))]);
    assert_eq!(check_dense(store).await, Position(2));
}
