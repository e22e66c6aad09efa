//! Tests of the turns in one line, without a store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use domain::product::Product;
use event_store::{
    AppendOutcome, Appended, CacheLimits, Current, Epoch, EventRef, MemoryStore, Refusal,
    StateLoader, UpcastingLog,
};
use futures::FutureExt as _;
use uuid::Uuid;

use super::super::state::State;
use super::super::{RepositoryError, registry};
use super::{
    Chain, Leaves, Lines, Link, MAX_AHEAD_KIB, MAX_CHAIN_AGE, MAX_IN_LINE, MAX_LINKS, Next, Turn,
};

const NOW: Epoch = Epoch(Uuid::from_u128(1));

type ProductState = State<Product>;

fn states() -> StateLoader {
    let log = UpcastingLog::new(Arc::new(MemoryStore::new()), Arc::new(registry().unwrap()));
    StateLoader::new(log, CacheLimits::default())
}

fn next() -> Leaves {
    Leaves::State(Next::of(Current::<ProductState>::default()))
}

#[allow(clippy::unnecessary_wraps, reason = "as the store answers")]
fn made() -> Result<AppendOutcome, RepositoryError> {
    Ok(AppendOutcome::Appended(Appended {
        epoch: NOW,
        last: EventRef::START,
        count: 1,
        versions: Vec::new(),
    }))
}

#[allow(clippy::unnecessary_wraps, reason = "as the store answers")]
fn refused() -> Result<AppendOutcome, RepositoryError> {
    Ok(AppendOutcome::Refused(Refusal::KeyReused))
}

async fn turn(lines: &Lines) -> Turn {
    lines.turn("product-1".parse().unwrap()).await.unwrap()
}

/// Takes the next turn, and returns whether it may decide on a state ahead of the log.
async fn sees_ahead(lines: &Lines, states: &StateLoader) -> (Turn, bool) {
    let mut turn = turn(lines).await;
    let ahead = turn.ahead::<ProductState>(NOW, states).await.unwrap().is_some();
    (turn, ahead)
}

fn is_next(lines: &Lines) -> bool {
    lines.turn("product-1".parse().unwrap()).now_or_never().is_some()
}

#[tokio::test]
async fn one_is_decided_at_a_time_and_the_next_on_what_it_leaves() {
    let (lines, states) = (Lines::default(), states());
    let first = turn(&lines).await;
    assert!(!is_next(&lines), "it is somebody else's turn");
    let first = first.pass_on(NOW, next());
    let (second, ahead) = sees_ahead(&lines, &states).await;
    assert!(ahead);
    let second = second.pass_on(NOW, next());
    first.settle(&made(), &states);
    let (third, ahead) = sees_ahead(&lines, &states).await;
    assert!(ahead, "the second is still on its way");
    drop(third);
    second.settle(&made(), &states);
    assert!(!sees_ahead(&lines, &states).await.1, "nothing is in flight any more");
    assert!(lines.lines.lock().unwrap().is_empty(), "nobody waits in the line, so it is gone");
}

#[tokio::test]
async fn who_was_decided_on_what_is_not_made_hears_of_it_and_nobody_is_decided_on_it_after() {
    let (lines, states) = (Lines::default(), states());
    let fates: [fn(Link, &StateLoader); 2] =
        [|link, states| link.settle(&refused(), states), |link, _| drop(link)];
    for fate in fates {
        let first = turn(&lines).await.pass_on(NOW, next());
        let (second, _) = sees_ahead(&lines, &states).await;
        let (base, second) = (second.base.clone().unwrap(), second.pass_on(NOW, next()));
        let (third, ahead) = sees_ahead(&lines, &states).await;
        assert!(ahead);
        assert!(base.came_about().now_or_never().is_none(), "nobody knows yet");
        fate(first, &states);
        assert!(!base.came_about().await);
        // The third was decided on the second, which cannot succeed either.
        let third = third.pass_on(NOW, next());
        assert!(!sees_ahead(&lines, &states).await.1);
        drop((second, third));
    }
}

#[tokio::test]
async fn a_state_of_another_history_or_at_the_end_of_a_chain_is_waited_for() {
    let (lines, states) = (Lines::default(), states());
    let mut first = turn(&lines).await;
    first.base =
        Some(super::Base { made: tokio::sync::watch::channel(None).1, chain: Chain::begin() });
    first
        .base
        .as_ref()
        .unwrap()
        .chain
        .links
        .store(MAX_LINKS - 1, std::sync::atomic::Ordering::Relaxed);
    let first = first.pass_on(NOW, next());
    let mut second = turn(&lines).await;
    assert!(
        second.ahead::<ProductState>(NOW, &states).now_or_never().is_none(),
        "the chain has its maximum length"
    );
    first.settle(&made(), &states);
    assert!(second.ahead::<ProductState>(NOW, &states).await.unwrap().is_none());
    let second = second.pass_on(NOW, next());
    let mut third = turn(&lines).await;
    assert!(
        third.ahead::<ProductState>(Epoch(Uuid::from_u128(2)), &states).now_or_never().is_none()
    );
    assert!(third.ahead::<ProductState>(NOW, &states).await.unwrap().is_some());
    drop(second);
}

#[tokio::test]
async fn an_old_chain_ends_so_that_another_process_has_its_chance() {
    let (lines, states) = (Lines::default(), states());
    let began = std::time::Instant::now().checked_sub(MAX_CHAIN_AGE).unwrap();
    let mut first = turn(&lines).await;
    let chain = Arc::new(Chain { began, links: 0.into(), broken: false.into() });
    first.base = Some(super::Base { made: tokio::sync::watch::channel(None).1, chain });
    let first = first.pass_on(NOW, next());
    let mut second = turn(&lines).await;
    assert!(
        second.ahead::<ProductState>(NOW, &states).now_or_never().is_none(),
        "the store must be asked"
    );
    first.settle(&made(), &states);
    assert!(second.ahead::<ProductState>(NOW, &states).await.unwrap().is_none());
}

#[tokio::test]
async fn where_there_is_no_room_for_a_state_the_turn_ends_with_the_answer() {
    let (lines, states) = (Lines::default(), states());
    let all = Arc::clone(&lines.room)
        .try_acquire_many_owned(u32::try_from(MAX_AHEAD_KIB).unwrap())
        .unwrap();
    for leaves in [next(), Leaves::Unknown] {
        let first = turn(&lines).await.pass_on(NOW, leaves);
        assert!(!is_next(&lines));
        first.settle(&made(), &states);
        assert!(is_next(&lines));
    }
    drop(all);
    let first = turn(&lines).await.pass_on(NOW, next());
    let taken = MAX_AHEAD_KIB - lines.room.available_permits();
    assert!(taken > 0 && is_next(&lines));
    first.settle(&made(), &states);
    assert_eq!(lines.room.available_permits(), MAX_AHEAD_KIB, "the room is free again");
}

#[tokio::test]
async fn a_state_that_one_without_room_went_past_is_never_decided_on() {
    let (lines, states) = (Lines::default(), states());
    for leaves in [next(), Leaves::Unknown] {
        let first = turn(&lines).await.pass_on(NOW, next());
        let (second, ahead) = sees_ahead(&lines, &states).await;
        assert!(ahead);
        let all = lines.room.available_permits();
        let all =
            Arc::clone(&lines.room).try_acquire_many_owned(u32::try_from(all).unwrap()).unwrap();
        let second = second.pass_on(NOW, leaves);
        assert!(!is_next(&lines), "no decision can use what the second one leaves");
        // One batch answers both, and the second receives its answer first.
        second.settle(&made(), &states);
        let third =
            sees_ahead(&lines, &states).now_or_never().expect("nothing is to be waited for");
        assert!(!third.1, "the state of the first one lacks the events of the second one");
        drop(all);
        let third = third.0.pass_on(NOW, next());
        drop(first);
        assert!(
            sees_ahead(&lines, &states).await.1,
            "the third one began a new chain, which is complete"
        );
        drop(third);
        assert_eq!(lines.room.available_permits(), MAX_AHEAD_KIB, "the room is free again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_is_bounded_and_nobody_waits_in_it_for_ever() {
    let lines = Lines::default();
    let first = turn(&lines).await;
    let waiting = (1..MAX_IN_LINE).map(|_| {
        let lines = lines.clone();
        async move { lines.turn("product-1".parse().unwrap()).await }
    });
    let waiting = tokio::spawn(futures::future::join_all(waiting.collect::<Vec<_>>()));
    tokio::task::yield_now().await;
    let one_more = lines.turn("product-1".parse().unwrap()).now_or_never();
    assert!(matches!(one_more, Some(Err(RepositoryError::Crowded))));
    assert!(
        lines.turn("product-2".parse().unwrap()).now_or_never().is_some(),
        "a change to another line is no conflict"
    );
    let waited = waiting.await.unwrap();
    assert!(waited.iter().all(|waited| matches!(waited, Err(RepositoryError::Crowded))));
    drop((first, waited));
    assert!(lines.lines.lock().unwrap().is_empty());
}
