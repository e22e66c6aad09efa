//! A toy saga for the tests: take a thing from a shelf (inside), call a gateway (outside), note it
//! (inside). The gateway keeps idempotency keys as real ones do, and misbehaves on request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use event_store::{
    EventStore, ExpectedVersion, NewEvent, RecordedEvent, StreamAppend, StreamName, Version,
};
use saga::instance::{Answer, Instance, Part};
use saga::{Actions, Call, Definition, Outcome, Retry, Saga, Signal, Start, Step, Work};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const NAME: &str = "taking";
/// Another saga that does the same.
pub(crate) const OTHER: &str = "keeping";
/// What starts an instance: `{"key": …}`.
pub(crate) const WANTED: &str = "thing.wanted";
/// What answers for the gateway: `{"key": …, "done": bool}`.
pub(crate) const ANSWERED: &str = "thing.answered";
/// What cancels an instance: `{"key": …}`.
pub(crate) const UNWANTED: &str = "thing.unwanted";

/// How a call of the gateway goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It fails before it did anything.
    Fails,
    /// It does it, and its answer is lost.
    LosesAnswer,
    Rejects,
    /// It accepts, and does it later.
    Later,
}

/// One effect of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) made: u32,
    pub(crate) undone: u32,
}

#[derive(Debug, Default)]
struct Books {
    /// By the instance's key.
    effects: BTreeMap<String, Effect>,
    /// The answer of each idempotency key: whether it succeeded.
    answers: BTreeMap<Uuid, bool>,
    /// The action keys that were used, by the instance's key.
    keys: BTreeMap<String, BTreeSet<Uuid>>,
    /// The compensation keys that were used, by the instance's key.
    undo_keys: BTreeMap<String, BTreeSet<Uuid>>,
    /// What was accepted and is not done yet.
    accepted: BTreeSet<String>,
    calls: u64,
}

/// Another system, with its books in memory. Clones share them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Gateway(Arc<Mutex<Books>>);

impl Gateway {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn effect(&self, key: &str) -> Effect {
        self.books().effects.get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn effects(&self) -> BTreeMap<String, Effect> {
        self.books().effects.clone()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.books().calls
    }

    /// How many idempotency keys the action was called with.
    pub(crate) fn keys(&self, key: &str) -> usize {
        self.books().keys.get(key).map_or(0, BTreeSet::len)
    }

    /// How many idempotency keys the compensation was called with. Another one than the first is
    /// another refund, unless the step succeeded once more.
    pub(crate) fn undo_keys(&self, key: &str) -> usize {
        self.books().undo_keys.get(key).map_or(0, BTreeSet::len)
    }

    pub(crate) fn has_accepted(&self, key: &str) -> bool {
        self.books().accepted.contains(key)
    }

    /// Does what was accepted. Returns whether there was something.
    pub(crate) fn does_later(&self, key: &str) -> bool {
        let mut books = self.books();
        let accepted = books.accepted.remove(key);
        if accepted {
            books.effects.entry(key.to_owned()).or_default().made += 1;
        }
        accepted
    }

    pub(crate) fn run(&self, call: &Call, mood: Mood) -> Outcome {
        let mut books = self.books();
        books.calls += 1;
        let key = call.key.clone();
        books.keys.entry(key.clone()).or_default().insert(call.idempotency_key);
        let failed = |why: &str| Outcome::unavailable(why);
        if mood == Mood::Fails {
            return failed("away");
        }
        if books.accepted.contains(&key) {
            return Outcome::Pending;
        }
        let known = books.answers.get(&call.idempotency_key).copied();
        let succeeded = match (known, mood) {
            (Some(answer), _) => answer,
            (None, Mood::Rejects) => false,
            (None, Mood::Later) => {
                // From now on the key has this answer.
                books.answers.insert(call.idempotency_key, true);
                books.accepted.insert(key);
                return Outcome::Pending;
            }
            (None, _) => {
                books.effects.entry(key.clone()).or_default().made += 1;
                true
            }
        };
        books.answers.insert(call.idempotency_key, succeeded);
        match (mood, succeeded) {
            (Mood::LosesAnswer, _) => failed("no answer"),
            (_, true) => Outcome::Done(json!({ "receipt": key })),
            (_, false) => Outcome::Rejected("refused".into()),
        }
    }

    pub(crate) fn undo(&self, call: &Call, mood: Mood) -> Outcome {
        let mut books = self.books();
        books.calls += 1;
        books.undo_keys.entry(call.key.clone()).or_default().insert(call.idempotency_key);
        if matches!(mood, Mood::Fails | Mood::Later | Mood::Rejects) {
            return Outcome::unavailable("away");
        }
        // A repeated key does nothing, as at a real gateway.
        let is_new = books.answers.insert(call.idempotency_key, true).is_none();
        if is_new {
            let effect = books.effects.entry(call.key.clone()).or_default();
            if effect.made > effect.undone {
                effect.undone += 1;
            }
        }
        match mood {
            Mood::LosesAnswer => Outcome::unavailable("no answer"),
            _ => Outcome::Done(Value::Null),
        }
    }
}

/// Says how the next call goes.
pub(crate) type Moods = Arc<dyn Fn(&Call, Part) -> Mood + Send + Sync>;

/// A point at which a test may stop the process.
#[async_trait]
pub(crate) trait Points: Send + Sync + 'static {
    async fn pass(&self, point: &'static str);
}

/// No test stops it.
pub(crate) struct NoPoints;

#[async_trait]
impl Points for NoPoints {
    async fn pass(&self, _: &'static str) {}
}

#[derive(Clone)]
pub(crate) struct Toy {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) gateway: Gateway,
    pub(crate) moods: Moods,
    pub(crate) points: Arc<dyn Points>,
    /// How many shelves there are: fewer make more conflicts.
    pub(crate) shelves: u64,
}

impl Toy {
    /// Appends an event to the shelf on the condition that nobody else did.
    async fn on_shelf(&self, call: &Call, what: &str) -> Outcome {
        let shelf = shelf_of(&call.key, self.shelves);
        let last = match self.store.read_stream_backward(&shelf, None, 1).await {
            Ok(page) => page.first().map_or(Version::NONE, |event| event.version),
            Err(error) => return Outcome::unavailable(error.to_string()),
        };
        self.points.pass("inside").await;
        let expected = match last {
            Version::NONE => ExpectedVersion::NoStream,
            last => ExpectedVersion::Exact(last),
        };
        let data = json!({ "key": call.key });
        let event = NewEvent::json(what.parse().unwrap(), 1, &data, call.metadata.clone()).unwrap();
        let streams = vec![StreamAppend { stream: shelf, expected, events: vec![event] }];
        Outcome::Append(Work { streams, ..Work::default() }, json!({ "taken": call.key }))
    }
}

pub(crate) fn shelf_of(key: &str, shelves: u64) -> StreamName {
    let number = key.bytes().fold(0_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte));
    StreamName::new("shelf", number % shelves).unwrap()
}

#[async_trait]
impl Actions for Toy {
    async fn run(&self, call: &Call) -> Outcome {
        match call.step {
            "take" => self.on_shelf(call, "shelf.taken").await,
            "ask" => {
                self.points.pass("before the call").await;
                let outcome = self.gateway.run(call, (self.moods)(call, Part::Action));
                self.points.pass("after the call").await;
                outcome
            }
            "note" => self.on_shelf(call, "shelf.noted").await,
            // A later version has more steps.
            _ => Outcome::Done(Value::Null),
        }
    }

    async fn compensate(&self, call: &Call) -> Outcome {
        match call.step {
            "take" => self.on_shelf(call, "shelf.given_back").await,
            "ask" => {
                self.points.pass("before the undoing").await;
                let outcome = self.gateway.undo(call, (self.moods)(call, Part::Compensation));
                self.points.pass("after the undoing").await;
                outcome
            }
            step => panic!("{step} has no compensation"),
        }
    }
}

pub(crate) fn quick() -> Retry {
    Retry { attempts: 4, first: Duration::from_millis(50), most: Duration::from_millis(200) }
}

fn take() -> Step {
    Step::inside("take").undone_inside().retried(quick()).undo_retried(quick())
}

/// How long the gateway may take on a real clock, and in virtual time.
pub(crate) const PATIENT: Duration = Duration::from_mins(2);
pub(crate) const SHORT: Duration = Duration::from_secs(5);

fn ask(deadline: Duration) -> Step {
    Step::outside("ask").undone_outside().within(deadline).retried(quick()).undo_retried(quick())
}

pub(crate) fn first_version(deadline: Duration) -> Definition {
    let note = Step::inside("note").retried(quick());
    Definition::version(1).then(take()).then(ask(deadline)).then(note)
}

/// The steps in another order, and one more.
pub(crate) fn second_version() -> Definition {
    Definition::version(2)
        .then(Step::inside("look"))
        .then(ask(PATIENT))
        .then(take())
        .then(Step::inside("note").retried(quick()))
}

pub(crate) fn saga(name: &'static str, definitions: Vec<Definition>, toy: Toy) -> Saga {
    Saga::new(name, definitions, Arc::new(toy))
        .unwrap()
        .started_by(vec![WANTED.parse().unwrap()], |event| {
            let data: Value = event.decode().ok()?;
            let is_imported = data.get("imported").is_some();
            assert!(data.get("panics").is_none(), "as the test wants");
            (!is_imported).then(|| Start { key: key_of(event), data })
        })
        .signalled_by(vec![ANSWERED.parse().unwrap(), UNWANTED.parse().unwrap()], |event| {
            let signal = if event.event_type.as_str() == UNWANTED {
                Signal::Cancel { reason: "not wanted".into() }
            } else {
                answer(event.decode::<Value>().ok()?["done"] == json!(true))
            };
            Some((key_of(event), signal))
        })
}

pub(crate) fn answer(done: bool) -> Signal {
    let answer = if done {
        Answer::Done(json!({ "receipt": "late" }))
    } else {
        Answer::Rejected("refused late".into())
    };
    Signal::Answer { step: "ask".into(), part: Part::Action, call: None, answer }
}

fn key_of(event: &RecordedEvent) -> String {
    event.decode::<Value>().unwrap()["key"].as_str().unwrap().to_owned()
}

/// How often the gateway's step succeeded after it had been undone, as the instance's events say.
pub(crate) fn rounds(events: &[RecordedEvent]) -> u32 {
    let read = |event| saga::event::read(event).unwrap();
    let evolved = events
        .iter()
        .filter_map(read)
        .fold(Instance::default(), |instance, event| instance.evolve(&event));
    evolved.steps.get("ask").map_or(0, |step| step.rounds)
}
