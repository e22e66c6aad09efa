//! Tests of shared loads that hang, fail, panic, or lose their caller.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, AtomicUsize};

use futures::future::pending;
use rand::Rng as _;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;
use uuid::Uuid;

use super::*;
use crate::error::StoreError;
use crate::event::{EventRef, Position, RecordedEvent};

#[derive(Debug, Default, Clone)]
struct Nothing;

impl StreamState for Nothing {
    type Error = Infallible;
    const SHAPE: Option<i32> = None;

    fn apply(self, _: &RecordedEvent) -> Result<Self, Infallible> {
        Ok(self)
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        Ok(RawValue::NULL.to_owned())
    }

    fn read(_: &RawValue) -> Result<Self, serde_json::Error> {
        Ok(Self)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Loads of one stream. The test says how each one ends.
#[derive(Clone)]
struct Loads {
    rounds: Rounds,
    begun: Arc<AtomicUsize>,
    /// A load takes one permit before it ends.
    may_end: Arc<Semaphore>,
    now: Arc<AtomicI64>,
}

#[derive(Clone, Copy)]
enum Ends {
    Well,
    Never,
    WithAPanic,
    WithAnError,
}

fn stream() -> (StreamName, Epoch) {
    (StreamName::new("thing", Uuid::from_u128(1)).unwrap(), Epoch(Uuid::from_u128(2)))
}

impl Loads {
    fn new() -> Self {
        let (begun, may_end) = (Arc::default(), Arc::new(Semaphore::new(0)));
        Self { rounds: Rounds::default(), begun, may_end, now: Arc::default() }
    }

    async fn ask(self, ends: Ends) -> Result<i64, StateError<Infallible>> {
        let (stream, epoch) = stream();
        let load = || {
            let loads = self.clone();
            let fails = matches!(ends, Ends::WithAnError);
            async move {
                let may_end = &loads.may_end;
                loads.begun.fetch_add(1, Ordering::SeqCst);
                let position = Position(loads.now.load(Ordering::SeqCst));
                match ends {
                    Ends::Never => pending().await,
                    Ends::WithAPanic => panic!("as it was told"),
                    Ends::Well | Ends::WithAnError => may_end.acquire().await.unwrap().forget(),
                }
                let last = EventRef { position, ..EventRef::START };
                let current = Current { last, ..Current::default() };
                if fails { Err(StoreError::Unavailable(None).into()) } else { Ok(current) }
            }
        };
        let current: Current<Nothing> = self.rounds.load(&stream, epoch, load).await?;
        Ok(current.last.position.0)
    }

    async fn asks(&self, ends: Ends) -> JoinHandle<Result<i64, StateError<Infallible>>> {
        let asking = tokio::spawn(self.clone().ask(ends));
        for _ in 0..10 {
            yield_now().await;
        }
        asking
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn are_forgotten(&self) {
        assert!(self.rounds.newest().is_empty(), "a round without callers is forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_takes_nobody_along() {
    let loads = Loads::new();
    let first = loads.asks(Ends::Well).await;
    let (left, stays) = (loads.asks(Ends::Well).await, loads.asks(Ends::Well).await);
    assert_eq!(loads.begun(), 1);
    // `left` made the waiting round; the load of `first` runs.
    left.abort();
    first.abort();
    loads.may_end.add_permits(1);
    let started = Instant::now();
    stays.await.unwrap().unwrap();
    assert!(started.elapsed() < PATIENCE, "an abandoned round does not delay the next one");
    assert_eq!(loads.begun(), 2);
    loads.are_forgotten();
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_holds_up_the_next_for_so_long_only() {
    let loads = Loads::new();
    let hangs = loads.asks(Ends::Never).await;
    let started = Instant::now();
    loads.may_end.add_permits(1);
    let answered = timeout(2 * PATIENCE, loads.asks(Ends::Well).await).await;
    answered.expect("an answer").unwrap().unwrap();
    assert!(started.elapsed() >= PATIENCE && started.elapsed() < 2 * PATIENCE);
    hangs.abort();
    assert!(hangs.await.is_err());
    loads.are_forgotten();
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_ends_its_round() {
    let loads = Loads::new();
    assert!(loads.asks(Ends::WithAPanic).await.await.unwrap_err().is_panic());
    loads.are_forgotten();
    // With other loads waiting behind it.
    let held = loads.asks(Ends::Well).await;
    let panics = loads.asks(Ends::WithAPanic).await;
    loads.may_end.add_permits(2);
    let started = Instant::now();
    held.await.unwrap().unwrap();
    assert!(panics.await.unwrap_err().is_panic());
    loads.asks(Ends::Well).await.await.unwrap().unwrap();
    assert!(started.elapsed() < PATIENCE);
    loads.are_forgotten();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_without_an_answer_when_a_shared_load_fails() {
    let loads = Loads::new();
    let first = loads.asks(Ends::Well).await;
    let (maker, other) = (loads.asks(Ends::WithAnError).await, loads.asks(Ends::Well).await);
    loads.may_end.add_permits(3);
    first.await.unwrap().unwrap();
    let answers = [maker.await.unwrap(), other.await.unwrap()];
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1, "{answers:?}");
    loads.are_forgotten();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_leaves_whenever_no_answer_is_older_than_its_question() {
    let loads = Loads::new();
    loads.may_end.add_permits(100_000);
    let askers = (0..16).map(|_| {
        let loads = loads.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                let asked = loads.now.fetch_add(1, Ordering::SeqCst) + 1;
                let asking = tokio::spawn(loads.clone().ask(Ends::Well));
                let leaves = rand::rng().random_range(0..6);
                for _ in 0..leaves {
                    yield_now().await;
                }
                if leaves < 2 {
                    asking.abort();
                }
                if let Ok(answer) = asking.await {
                    assert!(answer.unwrap() >= asked);
                }
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
    assert!(loads.begun() < 16 * 500, "no load was shared");
    loads.are_forgotten();
}
