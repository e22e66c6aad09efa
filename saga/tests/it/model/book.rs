//! What the engine decides. Nothing here decides anything: every decision and every state comes
//! from `saga::instance`. It is computed once for each state, input and time, and remembered.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use saga::definition::Definition;
use saga::event::SagaEvent;
use saga::id;
use saga::instance::{Answer, Decision, Input, Instance, Part, Signal, Status};
use saga::{Place, Retry, Step};
use serde_json::Value;
use uuid::Uuid;

use super::Mutant;
use super::judge::{Fault, judge};

pub(super) type Time = DateTime<Utc>;

const SAGA: &str = "lending";
const KEY: &str = "17";

/// How a call ended, or what came later of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reply {
    Done,
    Rejected,
    Unavailable,
    Pending,
}

/// What an event of the log says to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Cancel,
    Answer { step: &'static str, part: Part, call: Option<Uuid>, reply: Reply },
}

/// What the instance is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Start,
    Tick,
    Answered(&'static str, Part, Reply),
    Signal(u8, Said),
    /// A person has it go on.
    Resume,
}

/// A call that the instance waits for somebody to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) step: &'static str,
    pub(super) part: Part,
    pub(super) key: Uuid,
}

/// A state of the instance, with what follows from it. Two are the same if everything that can be
/// printed of them is the same.
#[derive(Clone)]
pub(super) struct Known {
    print: u64,
    facts: Arc<Facts>,
}

pub(super) struct Facts {
    pub(super) instance: Instance,
    pub(super) outside: Vec<Called>,
    pub(super) inside: Vec<Called>,
    pub(super) due_at: Option<Time>,
}

impl Deref for Known {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.print.hash(hasher);
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.instance.status, self.instance.steps)
    }
}

impl Known {
    pub(super) fn status(&self) -> Status {
        self.instance.status
    }

    /// The position of the last signal that it received.
    pub(super) fn heard(&self) -> u8 {
        u8::try_from(self.instance.last_signal).unwrap()
    }
}

/// An event that was decided, and what is wrong with it after the events before it.
#[derive(Clone)]
pub(super) struct Noted {
    print: u64,
    pub(super) event: Arc<SagaEvent>,
    pub(super) fault: Option<Fault>,
}

impl PartialEq for Noted {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Hash for Noted {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.print.hash(hasher);
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.event, f)
    }
}

/// A decision: its events, and the state after them.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) events: Vec<Noted>,
    pub(super) known: Known,
}

/// The decisions for one definition, with a bug or without.
pub(super) struct Book {
    pub(super) definition: Definition,
    mutant: Option<Mutant>,
    decided: Mutex<HashMap<(u64, Told, Time), Decided>>,
}

impl Book {
    pub(super) fn new(definition: Definition, mutant: Option<Mutant>) -> Self {
        definition.check().unwrap();
        Self { definition, mutant, decided: Mutex::default() }
    }

    /// The instance before it began.
    pub(super) fn absent(&self) -> Known {
        self.known(Instance::absent(id::of_instance(SAGA, KEY)))
    }

    /// The names of the steps.
    pub(super) fn steps(&self) -> impl Iterator<Item = &'static str> {
        self.definition.steps().map(Step::name)
    }

    pub(super) fn decide(&self, known: &Known, told: Told, now: Time) -> Decided {
        let key = (known.print, told, now);
        let decided = || self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decided) = decided().get(&key) {
            return decided.clone();
        }
        let events = self.bent(&known.instance, self.events(&known.instance, told, now), now);
        let fresh = self.after(known, events, now);
        decided().insert(key, fresh.clone());
        fresh
    }

    /// The state after these events, with what is wrong with each of them.
    pub(super) fn after(
        &self,
        known: &Known,
        events: impl IntoIterator<Item = SagaEvent>,
        now: Time,
    ) -> Decided {
        let mut instance = known.instance.clone();
        let mut noted = Vec::new();
        for event in events {
            let fault = judge(&instance, &event, now);
            instance = instance.evolve(&event);
            noted.push(Noted { print: print(&event), event: Arc::new(event), fault });
        }
        Decided { events: noted, known: self.known(instance) }
    }

    fn events(&self, instance: &Instance, told: Told, now: Time) -> Vec<SagaEvent> {
        let definition = &self.definition;
        let input = match told {
            Told::Resume => {
                return instance.operate(definition, Decision::Resume, "somebody", now).unwrap();
            }
            Told::Start => {
                Input::Start { saga: SAGA.to_owned(), key: KEY.to_owned(), data: Value::Null }
            }
            Told::Tick => Input::Tick,
            Told::Answered(step, part, reply) => {
                Input::Answered { step: step.to_owned(), part, answer: reply.answer() }
            }
            Told::Signal(..) if self.is_deaf_to(instance, told) => return Vec::new(),
            Told::Signal(position, said) => {
                Input::Signal { position: i64::from(position), signal: said.signal() }
            }
        };
        instance.decide(definition, input, now)
    }

    fn is_deaf_to(&self, instance: &Instance, told: Told) -> bool {
        self.mutant == Some(Mutant::IgnoresLate)
            && instance.status == Status::Compensated
            && matches!(told, Told::Signal(_, Said::Answer { .. }))
    }

    /// Bends the first event that the mutant is about. The engine goes on from there.
    fn bent(&self, instance: &Instance, mut events: Vec<SagaEvent>, now: Time) -> Vec<SagaEvent> {
        let Some(at) = events.iter_mut().position(|event| self.bend(event)) else { return events };
        events.truncate(at + 1);
        let ahead = events.iter().fold(instance.clone(), Instance::evolve);
        let rest = ahead.decide(&self.definition, Input::Tick, now);
        events.extend(self.bent(&ahead, rest, now));
        events
    }

    /// Returns whether the event was changed.
    fn bend(&self, event: &mut SagaEvent) -> bool {
        match (self.mutant, &mut *event) {
            (Some(Mutant::ForgetsUnknown), SagaEvent::StepFailed(failed))
                if failed.retry_at.is_none() && !failed.certain =>
            {
                failed.certain = true;
            }
            (Some(Mutant::PendingIsDone), SagaEvent::StepPending(pending)) => {
                let (step, attempt) = (pending.step.clone(), pending.attempt);
                let data = Value::Null;
                let done = saga::event::Succeeded { step, attempt, data };
                *event = SagaEvent::StepSucceeded(done);
            }
            _ => return false,
        }
        true
    }

    fn known(&self, instance: Instance) -> Known {
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        for due in instance.calls(&self.definition) {
            let (step, part) = (due.step.name(), due.part);
            let key = self.key_of(&instance, step, part, due.attempt);
            let called = Called { step, part, key };
            match due.place {
                Place::Outside => outside.push(called),
                Place::Inside => inside.push(called),
            }
        }
        let due_at = instance.due_at();
        let print = print(&instance);
        Known { print, facts: Arc::new(Facts { instance, outside, inside, due_at }) }
    }

    fn key_of(&self, instance: &Instance, step: &str, part: Part, attempt: u32) -> Uuid {
        let key = instance.call_of(step, part);
        match self.mutant {
            Some(Mutant::KeyPerAttempt) => Uuid::new_v5(&key, &attempt.to_be_bytes()),
            Some(Mutant::OneUndoKey) if part == Part::Compensation => {
                id::of_compensation(instance.id, step, 1)
            }
            _ => key,
        }
    }
}

impl Reply {
    fn answer(self) -> Answer {
        match self {
            Self::Done => Answer::Done(Value::Null),
            Self::Rejected => Answer::Rejected("refused".into()),
            Self::Unavailable => {
                Answer::Unavailable { reason: "no answer".to_owned(), retry_after: None }
            }
            Self::Pending => Answer::Pending,
        }
    }
}

impl Said {
    fn signal(self) -> Signal {
        match self {
            Self::Cancel => Signal::Cancel { reason: "not wanted".into() },
            Self::Answer { step, part, call, reply } => {
                Signal::Answer { step: step.to_owned(), part, call, answer: reply.answer() }
            }
        }
    }
}

/// The fingerprint of all that can be printed of a value.
fn print(value: &impl fmt::Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{value:?}").hash(&mut hasher);
    hasher.finish()
}

/// Each call is made twice at most, so that the states are few.
const TWICE: Retry =
    Retry { attempts: 2, first: Duration::from_secs(2), most: Duration::from_secs(2) };

const fn inside(name: &'static str) -> Step {
    Step::inside(name).retried(TWICE).undo_retried(TWICE)
}

const fn outside(name: &'static str) -> Step {
    let deadline = Duration::from_secs(5);
    Step::outside(name).undone_outside().within(deadline).retried(TWICE).undo_retried(TWICE)
}

/// The last step, which waits before it begins.
const fn note() -> Step {
    inside("note").delayed(Duration::from_secs(3))
}

/// Steps of every kind, one after the other.
pub(super) fn in_a_row() -> Definition {
    Definition::version(1).then(inside("take").undone_inside()).then(outside("ask")).then(note())
}

/// Two calls at the same time, in a saga that expires.
pub(super) fn together() -> Definition {
    Definition::version(1)
        .then_together([outside("ask"), outside("book")])
        .then(note())
        .expiring_after(Duration::from_secs(9))
}
