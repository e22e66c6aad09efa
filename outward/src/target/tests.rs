//! Calls in virtual time, to a target that follows a script.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::sleep;

use super::*;
use crate::breaker::BreakerSettings;
use crate::budget::BudgetSettings;
use crate::bulkhead::BulkheadSettings;

/// What the target does with one attempt.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Answers with a status at once.
    Answers(u16),
    /// Answers with a status and `Retry-After` in seconds.
    Asks(u16, u64),
    /// Answers with 200 after a time.
    Takes(Duration),
    /// Never answers.
    Hangs,
    /// Cannot be reached.
    IsAway,
    /// Cuts the connection.
    Cuts,
    /// Answers more than it may.
    Floods,
}
use Does::{Answers, Asks, Cuts, Floods, Hangs, IsAway, Takes};

/// A target that follows a script, and the rest of the time answers with 200.
#[derive(Debug, Default)]
struct Script {
    script: Mutex<VecDeque<Does>>,
    received: Mutex<Vec<(Instant, HeaderMap)>>,
}

impl Transport for Script {
    async fn send(&self, request: &Request) -> Result<Answer, SendError> {
        let headers = request.headers.clone();
        self.received.lock().unwrap().push((Instant::now(), headers));
        let next = self.script.lock().unwrap().pop_front().unwrap_or(Answers(200));
        let answer = |status, wait: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.extend(wait.map(|wait| (RETRY_AFTER, HeaderValue::from(wait))));
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Answer { status, headers, body: Bytes::new() })
        };
        match next {
            Answers(status) => answer(status, None),
            Asks(status, wait) => answer(status, Some(wait)),
            Takes(time) => {
                sleep(time).await;
                answer(200, None)
            }
            Hangs => std::future::pending().await,
            IsAway => Err(SendError::Unreachable("refused".into())),
            Cuts => Err(SendError::Lost("reset".into())),
            Floods => Err(SendError::TooLong { limit: 1 }),
        }
    }
}

fn target(script: &[Does], change: impl FnOnce(&mut Settings)) -> Target<Script> {
    let mut settings = Settings::default();
    change(&mut settings);
    let script =
        Script { script: Mutex::new(script.iter().copied().collect()), ..Script::default() };
    Target::new("target", script, settings)
}

fn plain(script: &[Does]) -> Target<Script> {
    target(script, |_| {})
}

/// The moments at which the target received attempts, since the first one.
fn moments(target: &Target<Script>) -> Vec<Duration> {
    let received = target.transport.received.lock().unwrap();
    received.iter().map(|(at, _)| *at - received[0].0).collect()
}

fn keyed() -> Request {
    Request::post("/", "").repeat(Repeat::with_key("key"))
}

fn unsafe_post() -> Request {
    Request::post("/", "")
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_is_passed_on_whatever_it_says() {
    for status in [200, 201, 302, 400, 402, 404, 409, 422, 501] {
        let target = plain(&[Answers(status)]);
        assert_eq!(target.call(keyed()).await.unwrap().status.as_u16(), status);
        assert_eq!(moments(&target).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_repeated_with_the_same_key_and_growing_pauses() {
    let target = plain(&[Answers(503), Cuts, IsAway]);
    assert_eq!(target.call(keyed()).await.unwrap().status, 200);
    let received = target.transport.received.lock().unwrap().clone();
    assert_eq!(received.len(), 4);
    for (attempt, limit) in [200, 400, 800].into_iter().enumerate() {
        let pause = received[attempt + 1].0 - received[attempt].0;
        assert!(pause <= Duration::from_millis(limit + 1), "{pause:?} of {limit} ms");
    }
    assert!(received.iter().all(|(_, headers)| headers["idempotency-key"] == "key"));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_span_of_the_callers_trace() {
    let target = plain(&[Answers(503)]);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    target.call(keyed().traceparent(Some(trace.clone()))).await.unwrap();
    let received = target.transport.received.lock().unwrap().clone();
    let spans: Vec<&str> =
        received.iter().map(|(_, headers)| headers["traceparent"].to_str().unwrap()).collect();
    assert!(spans.iter().all(|span| span[..36] == trace[..36]));
    assert_ne!(spans[0], spans[1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_take_effect_twice_is_repeated_only_if_it_took_none() {
    let target = plain(&[IsAway, Answers(429), Hangs]);
    let error = target.call(unsafe_post()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::TimedOut), "{error}");
    assert_eq!((error.effect, error.attempts), (Effect::Unknown, 3));
    for lost in [Cuts, Answers(500), Answers(502), Answers(503), Floods] {
        let target = plain(&[lost]);
        let error = target.call(unsafe_post()).await.unwrap_err();
        assert_eq!((error.effect, error.attempts), (Effect::Unknown, 1), "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reads_never_takes_effect() {
    let target = plain(&[Cuts; 9]);
    let error = target.call(Request::get("/")).await.unwrap_err();
    assert_eq!((error.effect, error.attempts), (Effect::None, 4));
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_one_attempt_may_have_had_is_not_forgotten() {
    let target = plain(&[Cuts, IsAway, IsAway, IsAway]);
    let error = target.call(keyed()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable(_)), "{error}");
    assert_eq!(error.effect, Effect::Unknown);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_target_asks_for_is_kept() {
    let target = plain(&[Asks(429, 7), Asks(503, 3)]);
    target.call(keyed()).await.unwrap();
    let moments = moments(&target);
    assert!(moments[1] >= Duration::from_secs(7) && moments[1] < Duration::from_secs(8));
    assert!(moments[2].saturating_sub(moments[1]) >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_for_more_than_the_call_has_ends_it_at_once() {
    let target = plain(&[Asks(429, 31)]);
    let began = Instant::now();
    let error = target.call(keyed()).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(error.retry_after, Some(Duration::from_secs(31)));
    assert_eq!(error.answer().map(|answer| answer.status.as_u16()), Some(429));
    let target = plain(&[Asks(429, 1_000_000)]);
    let error = target.call(keyed()).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_hours(1)), "limited");
}

#[tokio::test(start_paused = true)]
async fn attempts_and_calls_have_deadlines() {
    let target = plain(&[Hangs; 9]);
    let began = Instant::now();
    let error = target.call(keyed()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::TimedOut), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
    assert!(moments(&target)[1] >= Duration::from_secs(10));
    let began = Instant::now();
    let short = Some(Duration::from_secs(2));
    target.call(keyed().total_limit(short)).await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_millis(2_001), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_just_in_time_counts() {
    let target = plain(&[Takes(Duration::from_millis(9_999))]);
    assert_eq!(target.call(unsafe_post()).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_budget() {
    let budget = BudgetSettings { per_call: 0.0, per_second: 0.0, most: 2.0 };
    let target = target(&[Answers(503); 99], |settings| settings.budget = budget);
    let first = target.call(keyed()).await.unwrap_err();
    let second = target.call(keyed()).await.unwrap_err();
    assert_eq!((first.attempts, second.attempts), (3, 1));
    assert!(target.report().retries < 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_failing_is_left_alone_and_then_probed() {
    let breaker = BreakerSettings { min_attempts: 4, probes: 1, ..BreakerSettings::default() };
    let target = target(&[Answers(500); 4], |settings| settings.breaker = breaker);
    target.call(keyed()).await.unwrap_err();
    assert_eq!(target.report().state, State::Open);
    let error = target.call(keyed()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::CircuitOpen), "{error}");
    assert_eq!((error.effect, error.attempts), (Effect::None, 0));
    assert_eq!(error.retry_after, Some(breaker.open_for));
    assert_eq!(moments(&target).len(), 4);
    sleep(breaker.open_for).await;
    target.call(keyed()).await.unwrap();
    assert_eq!(target.report().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_opens_the_breaker_and_one_that_refuses_does_not() {
    let breaker = BreakerSettings { min_attempts: 3, ..BreakerSettings::default() };
    let hanging = target(&[Hangs; 9], |settings| settings.breaker = breaker);
    hanging.call(keyed()).await.unwrap_err();
    assert_eq!(hanging.report().state, State::Open);
    let refusing = target(&[Answers(429); 99], |settings| settings.breaker = breaker);
    for _ in 0..9 {
        refusing.call(keyed()).await.unwrap_err();
    }
    assert_eq!(refusing.report().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn calls_with_little_time_do_not_open_the_breaker() {
    let breaker = BreakerSettings { min_attempts: 3, ..BreakerSettings::default() };
    let target = target(&[Hangs; 9], |settings| settings.breaker = breaker);
    for _ in 0..9 {
        let short = Some(Duration::from_secs(1));
        target.call(keyed().total_limit(short)).await.unwrap_err();
    }
    assert_eq!(target.report().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_bulkhead_are_refused_at_once_or_in_time() {
    let bulkhead = BulkheadSettings { at_once: 1, waiting: 1 };
    let target = target(&[Takes(Duration::from_secs(9))], |settings| settings.bulkhead = bulkhead);
    let first = target.call(keyed());
    let second = target.call(keyed().total_limit(Some(Duration::from_secs(1))));
    let third = async {
        tokio::task::yield_now().await;
        let began = Instant::now();
        let error = target.call(keyed()).await.unwrap_err();
        (error, began.elapsed())
    };
    let (first, second, (third, time)) = tokio::join!(first, second, third);
    assert_eq!(first.unwrap().status, 200);
    let second = second.unwrap_err();
    assert!(matches!(second.reason, Reason::NoRoomInTime), "{second}");
    assert!(matches!(third.reason, Reason::Busy { at_once: 1, waiting: 1 }), "{third}");
    assert_eq!((time, third.effect), (Duration::ZERO, Effect::None));
    let report = target.report();
    assert_eq!((report.under_way, report.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let bulkhead = BulkheadSettings { at_once: 1, waiting: 0 };
    let target = target(&[Hangs], |settings| settings.bulkhead = bulkhead);
    let given_up = timeout(Duration::from_secs(1), target.call(keyed())).await;
    assert!(given_up.is_err());
    assert_eq!(target.report().under_way, 0);
    target.call(keyed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_no_header_can_carry_is_refused() {
    let target = plain(&[]);
    let bad = Request::post("/", "").repeat(Repeat::with_key("a\nb"));
    let error = target.call(bad).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Key), "{error}");
    assert_eq!(error.effect, Effect::None);
}
