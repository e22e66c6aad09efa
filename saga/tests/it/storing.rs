//! What an action returns and the log cannot keep counts as a failed attempt.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use event_store::{
    EventStore as _, ExpectedVersion, MemoryStore, Metadata, NewEvent, Registry, StreamAppend,
    StreamName, UpcastingLog, Version,
};
use saga::driver::Job;
use saga::instance::{MAX_DATA, MAX_DATA_DEPTH, Status};
use saga::sagas::Begun;
use saga::{Actions, Call, Definition, Driver, Outcome, Retry, Saga, Sagas, Start, Step, Work, id};
use serde_json::{Value, json};
use service_kit::clock::FixedClock;
use uuid::Uuid;

const NAME: &str = "returning";
const SECOND: Duration = Duration::from_secs(1);

/// Returns always the same.
struct Returns(fn() -> Outcome);

#[async_trait]
impl Actions for Returns {
    async fn run(&self, _: &Call) -> Outcome {
        (self.0)()
    }

    async fn compensate(&self, _: &Call) -> Outcome {
        Outcome::Done(Value::Null)
    }
}

/// A step, what its action returns, and why that cannot be kept.
type Case<'s> = (&'s Step, fn() -> Outcome, &'static str);

/// Drives an instance of one step to its end, and returns its timeline.
async fn timeline(step: Step, returns: fn() -> Outcome) -> Vec<String> {
    let twice = Retry { attempts: 2, first: SECOND, most: SECOND };
    let definition = Definition::version(1).then(step.retried(twice));
    let saga = Saga::new(NAME, [definition], Arc::new(Returns(returns))).unwrap();
    let store = Arc::new(MemoryStore::new());
    let registry = Arc::new(Registry::new(saga::event::shapes(), []).unwrap());
    let clock = FixedClock::at(DateTime::UNIX_EPOCH);
    let log = UpcastingLog::new(store.clone(), registry);
    let driver = Driver::new(log, Sagas::new([saga]).unwrap(), clock.clone());
    let start = Start { key: "17".into(), data: json!({}) };
    let begun = Begun { saga: NAME.into(), start, origin: Metadata::new(Uuid::nil()) };
    let (job, instance) =
        (Job { start: Some(begun), signals: Vec::new() }, id::of_instance(NAME, "17"));
    let rest = driver.drive(instance, &job).await.unwrap();
    let ended = match rest.due_at {
        Some(due) => {
            clock.set(due);
            driver.drive(instance, &job).await.unwrap()
        }
        None => rest,
    };
    assert_eq!(ended.status, Status::Compensated);
    let events = store.read_stream(&id::stream(instance), Version::NONE, 100).await.unwrap();
    events.iter().map(|event| saga::event::read(event).unwrap().unwrap().to_string()).collect()
}

fn nested() -> Value {
    (0..=MAX_DATA_DEPTH).fold(json!(1), |inner, _| json!([inner]))
}

/// Work that the log refuses, whatever it holds.
fn invalid() -> Work {
    let data = json!({ "name": "a\0b" });
    let metadata = Metadata::new(Uuid::nil());
    let event = NewEvent::json("thing.named".parse().unwrap(), 1, &data, metadata).unwrap();
    let stream = StreamName::new("thing", 7).unwrap();
    let append = StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] };
    Work { streams: vec![append], ..Work::default() }
}

#[tokio::test]
async fn an_outcome_that_the_log_cannot_keep_is_a_failed_attempt() {
    let (inside, outside) = (Step::inside("a"), Step::outside("a"));
    let cases: [Case<'_>; 5] = [
        (&outside, || Outcome::Done(json!("a\0b")), "the data have the character NUL"),
        (&outside, || Outcome::Done(json!("a".repeat(MAX_DATA))), "the data have 65538 bytes"),
        (&outside, || Outcome::Done(nested()), "the data are nested deeper than 32"),
        (&inside, || Outcome::Append(Work::default(), nested()), "the data are nested"),
        (&inside, || Outcome::Append(invalid(), Value::Null), "its data has the character NUL"),
    ];
    for (step, returns, why) in cases {
        let timeline = timeline(step.clone(), returns).await;
        for attempt in [1, 2] {
            let failed = format!("step_failed a #{attempt}: ");
            let found = timeline.iter().any(|what| what.starts_with(&failed) && what.contains(why));
            assert!(found, "{why}: {timeline:#?}");
        }
    }
}

#[tokio::test]
async fn a_reason_with_nul_is_kept_without_it() {
    let timeline = timeline(Step::outside("a"), || Outcome::Rejected("no\0 way".into())).await;
    assert_eq!(timeline[2], "step_failed a #1: no way");
}
