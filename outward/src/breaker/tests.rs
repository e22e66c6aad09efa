//! The circuit breaker in virtual time.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    window: Duration::from_secs(10),
    min_attempts: 4,
    failed_part: 0.5,
    open_for: Duration::from_secs(5),
    probes: 2,
};

fn breaker() -> Breaker {
    Breaker::new("target".into(), SETTINGS)
}

fn state(breaker: &Breaker) -> State {
    breaker.state().0
}

fn ends(breaker: &Breaker, results: &[bool]) {
    for succeeded in results {
        let permit = breaker.admit().unwrap();
        if *succeeded { permit.succeeded() } else { permit.failed() }
    }
}

fn opened() -> Breaker {
    let breaker = breaker();
    ends(&breaker, &[false; 4]);
    assert_eq!(state(&breaker), State::Open);
    breaker
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_enough_of_the_recent_attempts_failed() {
    let breaker = breaker();
    ends(&breaker, &[false; 3]);
    assert_eq!(state(&breaker), State::Closed, "three are too few");
    tokio::time::advance(SETTINGS.window).await;
    ends(&breaker, &[true, true, false, true, false]);
    assert_eq!(breaker.state(), (State::Closed, 5, 2), "less than half of the recent ones");
    ends(&breaker, &[false]);
    assert_eq!(state(&breaker), State::Open);
    let refused = breaker.admit().unwrap_err();
    assert_eq!(refused.retry_after, SETTINGS.open_for);
    assert_eq!(breaker.refusal(), Some(refused));
}

#[tokio::test(start_paused = true)]
async fn a_long_time_of_success_does_not_keep_it_closed() {
    let breaker = breaker();
    for _ in 0..1_000 {
        ends(&breaker, &[true]);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // The window still has nine of the successes.
    ends(&breaker, &[false; 8]);
    assert_eq!(state(&breaker), State::Closed);
    ends(&breaker, &[false]);
    assert_eq!(state(&breaker), State::Open);
}

#[tokio::test(start_paused = true)]
async fn it_closes_after_its_probes_succeeded_and_lets_no_more_pass_before() {
    let breaker = opened();
    tokio::time::advance(SETTINGS.open_for.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(breaker.admit().unwrap_err().retry_after, Duration::from_millis(1));
    tokio::time::advance(Duration::from_millis(1)).await;
    let (first, second) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    assert_eq!(state(&breaker), State::HalfOpen);
    assert_eq!(breaker.admit().unwrap_err().retry_after, PROBE_PAUSE);
    first.succeeded();
    assert!(breaker.admit().is_err(), "one succeeded and one is under way");
    second.succeeded();
    assert_eq!(state(&breaker), State::Closed);
    ends(&breaker, &[false; 3]);
    assert_eq!(state(&breaker), State::Closed, "the window is a new one");
}

#[tokio::test(start_paused = true)]
async fn it_opens_again_when_a_probe_fails() {
    let breaker = opened();
    tokio::time::advance(SETTINGS.open_for).await;
    let (first, second) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    first.failed();
    assert_eq!(state(&breaker), State::Open);
    tokio::time::advance(Duration::from_secs(3)).await;
    second.failed();
    assert_eq!(breaker.admit().unwrap_err().retry_after, Duration::from_secs(2), "not prolonged");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_makes_room_for_another() {
    let breaker = opened();
    tokio::time::advance(SETTINGS.open_for).await;
    let (first, second) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    drop(first);
    let third = breaker.admit().unwrap();
    assert!(breaker.admit().is_err());
    second.succeeded();
    third.succeeded();
    assert_eq!(state(&breaker), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn attempts_from_before_a_change_count_no_more() {
    let breaker = breaker();
    let (good, bad) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    let given_up = breaker.admit().unwrap();
    ends(&breaker, &[false; 4]);
    tokio::time::advance(SETTINGS.open_for).await;
    let probe = breaker.admit().unwrap();
    bad.failed();
    assert_eq!(state(&breaker), State::HalfOpen);
    good.succeeded();
    drop(given_up);
    assert_eq!(breaker.state(), (State::HalfOpen, 0, 0));
    let other = breaker.admit().unwrap();
    assert!(breaker.admit().is_err(), "the late ones freed no place");
    probe.succeeded();
    other.succeeded();
    assert_eq!(state(&breaker), State::Closed);
}
