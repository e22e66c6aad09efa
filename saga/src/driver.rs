//! Runs one instance as far as it goes now: loads its stream, decides, calls its actions, appends.
//!
//! What is decided is kept in memory until it must be durable: before a call to the outside, with
//! the events of an inside action, and at the end. So a step is one append: the outcome of one and
//! the request of the next, with the events of an inside action.
//!
//! Every append names the exact version of the instance's stream. If somebody else drove the
//! instance meanwhile, the append is refused, and the driver loads it again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_store::{StoreError, UpcastingError, UpcastingLog};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use service_kit::clock::SharedClock;
use tokio::time::{Instant as Moment, timeout};
use uuid::Uuid;

use crate::action::{Call, Outcome, Work};
use crate::definition::{Definition, Place};
use crate::event::{Parked, Resumed, SagaEvent};
use crate::instance::{Answer, Due, Input, Instance, Part, Signal, Status};
use crate::sagas::{Begun, Saga, Sagas};
use crate::{id, telemetry};

mod append;
mod load;

pub(crate) use append::Appended;
pub(crate) use load::Loaded;

pub(crate) use load::load;

/// How often an inside action is called again at once because another writer was faster. After
/// that, its attempt has failed.
const MAX_CONFLICTS: u32 = 16;
/// How often an instance is loaded again because somebody else drives it.
const MAX_RELOADS: u32 = 8;

/// How the reason of an instance begins that is parked for want of its definition.
const FOREIGN: &str = "no process has";

/// Whether an instance is parked for want of its definition.
pub(crate) fn is_foreign(reason: &str) -> bool {
    reason.starts_with(FOREIGN)
}

/// What an instance is to be told.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// How it begins, if it has not begun.
    pub start: Option<Begun>,
    /// Signals in the order of their positions.
    pub signals: Vec<(i64, Signal)>,
}

/// Where an instance rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The version of its stream.
    pub version: i64,
    /// Where it stands; [`Status::Absent`] if it never began.
    pub status: Status,
    /// When it has something to do without any input.
    pub due_at: Option<DateTime<Utc>>,
    /// The version of its definition; 0 if it never began.
    pub definition: i32,
    /// What it is about.
    pub key: String,
    /// The steps that are not settled, in a few words.
    pub waits_for: String,
    /// Why it is undone or parked.
    pub reason: Option<String>,
    /// The position of the last signal that it received.
    pub last_signal: i64,
    /// Whether anything was appended.
    pub moved: bool,
}

/// Why an instance could not be driven now.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The log did not answer.
    #[error("the log gave no answer")]
    Store(#[from] StoreError),
    /// The instance's stream cannot be read.
    #[error(transparent)]
    Log(#[from] UpcastingError),
    /// A stored event of the instance cannot be read.
    #[error("an event of the saga cannot be read")]
    Event(#[from] aggregate::UnreadableEvent),
    /// The program does not have the saga or the version of its definition.
    #[error("this program does not have version {1} of the saga {0}")]
    NoDefinition(String, i32),
    /// Others drive it at the same time.
    #[error("others drive the saga at the same time")]
    Contended,
    /// An append was refused for another reason than a version.
    #[error("the log refused the saga's append: {0}")]
    Refused(event_store::Refusal),
    /// An event cannot be written as JSON.
    #[error("an event cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Drives instances. It is cheap to clone.
#[derive(Clone)]
pub struct Driver {
    pub(crate) log: UpcastingLog,
    pub(crate) sagas: Sagas,
    pub(crate) clock: SharedClock,
}

/// The result of one pass over an instance.
enum Pass {
    Rests,
    /// Somebody else drove it: load it again.
    Again,
}

impl Driver {
    /// A driver of these sagas over this log.
    pub const fn new(log: UpcastingLog, sagas: Sagas, clock: SharedClock) -> Self {
        Self { log, sagas, clock }
    }

    /// Runs the instance until it waits or has ended.
    ///
    /// The future may be dropped at any await. What was appended stays; the next driver goes on
    /// from there.
    ///
    /// # Errors
    /// [`DriveError`]. What was appended before stays.
    pub async fn drive(&self, instance: Uuid, job: &Job) -> Result<Rest, DriveError> {
        let mut moved = false;
        for _ in 0..MAX_RELOADS {
            let mut loaded = load(&self.log, instance).await?;
            if loaded.state.status == Status::Absent && job.start.is_none() {
                return Ok(loaded.rest(moved));
            }
            let Some((saga, definition)) = self.definition_of(&loaded.state, job) else {
                let (saga, version) = loaded.state.origin.map_or_else(
                    || (job.start.as_ref().map(|it| it.saga.clone()).unwrap_or_default(), 0),
                    |origin| (origin.saga, origin.definition),
                );
                return Err(DriveError::NoDefinition(saga, version));
            };
            if let Some(start) = job.start.as_ref().filter(|_| loaded.origin.is_none()) {
                loaded.origin = Some(start.origin.clone());
            }
            let before = loaded.version;
            let pass = self.pass(&mut loaded, saga, &definition, job).await;
            moved |= loaded.version > before;
            match pass? {
                Pass::Rests => return Ok(loaded.rest(moved)),
                Pass::Again => {}
            }
        }
        Err(DriveError::Contended)
    }

    /// Parks an instance of which no process has the definition. It goes on by itself when one has
    /// it again.
    pub(crate) async fn park_foreign(
        &self,
        instance: Uuid,
        saga: &str,
        version: i32,
    ) -> Result<Rest, DriveError> {
        let mut loaded = load(&self.log, instance).await?;
        if matches!(loaded.state.status, Status::Running | Status::Compensating) {
            let reason = format!("{FOREIGN} version {version} of the saga {saga}");
            loaded.push(vec![SagaEvent::Parked(Parked { reason })]);
        }
        let moved = !loaded.pending.is_empty();
        match self.flush(&mut loaded, Work::default()).await? {
            Appended::Done => Ok(loaded.rest(moved)),
            Appended::Overtaken | Appended::Conflict => Err(DriveError::Contended),
        }
    }

    /// The saga and the definition of an instance, or of one that is to begin.
    fn definition_of(&self, state: &Instance, job: &Job) -> Option<(&Saga, Arc<Definition>)> {
        match (&state.origin, &job.start) {
            (Some(origin), _) => {
                let saga = self.sagas.get(&origin.saga)?;
                Some((saga, Arc::clone(saga.definitions.get(&origin.definition)?)))
            }
            (None, Some(start)) => {
                let saga = self.sagas.get(&start.saga)?;
                Some((saga, Arc::clone(saga.newest())))
            }
            (None, None) => None,
        }
    }

    async fn pass(
        &self,
        loaded: &mut Loaded,
        saga: &Saga,
        definition: &Definition,
        job: &Job,
    ) -> Result<Pass, DriveError> {
        let now = self.clock.now();
        if let Some(begun) = &job.start {
            let (saga, start) = (begun.saga.clone(), begun.start.clone());
            let input = Input::Start { saga, key: start.key, data: start.data };
            loaded.decide(definition, input, now);
        }
        for (position, signal) in &job.signals {
            let input = Input::Signal { position: *position, signal: signal.clone() };
            loaded.decide(definition, input, now);
        }
        if loaded.state.status == Status::Parked
            && loaded.state.parked_for.as_deref().is_some_and(is_foreign)
        {
            let by = "definition".to_owned();
            loaded.push(vec![SagaEvent::Resumed(Resumed { by })]);
        }
        loaded.decide(definition, Input::Tick, now);
        loop {
            let calls = loaded.state.calls(definition);
            let outside = calls.iter().filter(|due| due.place == Place::Outside);
            let outside: Vec<Due> = outside.cloned().collect();
            let went_on = if outside.is_empty() {
                match calls.into_iter().next() {
                    Some(due) => self.inside(loaded, saga, definition, due).await?,
                    None => {
                        let is_flushed = self.flush(loaded, Work::default()).await?.is_done();
                        return Ok(if is_flushed { Pass::Rests } else { Pass::Again });
                    }
                }
            } else {
                // The request must be in the log before the call.
                self.flush(loaded, Work::default()).await?.is_done()
                    && self.outside(loaded, saga, definition, outside).await?
            };
            if !went_on {
                return Ok(Pass::Again);
            }
        }
    }

    /// Makes the calls at the same time. Each outcome is appended when it is there. Returns `false`
    /// if somebody else drives the instance.
    async fn outside(
        &self,
        loaded: &mut Loaded,
        saga: &Saga,
        definition: &Definition,
        calls: Vec<Due>,
    ) -> Result<bool, DriveError> {
        let calls = calls.into_iter().map(|due| {
            let call = loaded.call(&due);
            async move {
                let outcome = self.call(saga, &due, &call).await;
                (due, outcome)
            }
        });
        let mut calls: FuturesUnordered<_> = calls.collect();
        while let Some((due, outcome)) = calls.next().await {
            let answer = match outcome {
                Outcome::Append(..) => unavailable("an outside action returned events"),
                other => answer_of(other),
            };
            loaded.answered(definition, &due, answer, self.clock.now());
            // The next calls may follow from the last outcome; the others must not be lost.
            if !calls.is_empty() && !self.flush(loaded, Work::default()).await?.is_done() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Calls an inside action, and appends its events with its outcome. Returns `false` if somebody
    /// else drives the instance.
    async fn inside(
        &self,
        loaded: &mut Loaded,
        saga: &Saga,
        definition: &Definition,
        due: Due,
    ) -> Result<bool, DriveError> {
        for _ in 0..MAX_CONFLICTS {
            let call = loaded.call(&due);
            let (work, answer) = match self.call(saga, &due, &call).await {
                Outcome::Append(work, data) => (Some(work), Answer::Done(data)),
                Outcome::Pending => (None, unavailable("an inside action has no later outcome")),
                other => (None, answer_of(other)),
            };
            let Some(work) = work else {
                loaded.answered(definition, &due, answer, self.clock.now());
                return Ok(true);
            };
            let mut ahead = loaded.clone();
            ahead.answered(definition, &due, answer, self.clock.now());
            match self.flush(&mut ahead, work).await? {
                Appended::Done => {
                    *loaded = ahead;
                    return Ok(true);
                }
                Appended::Overtaken => return Ok(false),
                Appended::Conflict => {
                    telemetry::conflict(saga.name, due.step.name);
                    // Others write to the same streams. Let them finish first.
                    tokio::task::yield_now().await;
                }
            }
        }
        let answer = unavailable("other writers were faster each time");
        loaded.answered(definition, &due, answer, self.clock.now());
        Ok(true)
    }

    /// Makes one call within its limit. A panic counts as a failure.
    async fn call(&self, saga: &Saga, due: &Due, call: &Call) -> Outcome {
        let began = Moment::now();
        let running = async {
            match due.part {
                Part::Action => saga.actions.run(call).await,
                Part::Compensation => saga.actions.compensate(call).await,
            }
        };
        let limit = due.step.call_limit;
        let outcome = match timeout(limit, AssertUnwindSafe(running).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::unavailable("it panicked"),
            Err(_) => Outcome::unavailable(format!("no answer within {} s", limit.as_secs_f64())),
        };
        telemetry::call(saga.name, due, &outcome, began.elapsed());
        outcome
    }
}

impl Loaded {
    /// Decides, and keeps the events that are to be appended.
    fn decide(&mut self, definition: &Definition, input: Input, now: DateTime<Utc>) {
        let events = self.state.decide(definition, input, now);
        self.push(events);
    }

    pub(crate) fn push(&mut self, events: Vec<SagaEvent>) {
        let state = std::mem::take(&mut self.state);
        self.state = events.iter().fold(state, Instance::evolve);
        self.pending.extend(events);
    }

    fn answered(&mut self, definition: &Definition, due: &Due, answer: Answer, now: DateTime<Utc>) {
        let (step, part) = (due.step.name.to_owned(), due.part);
        self.decide(definition, Input::Answered { step, part, answer }, now);
    }

    fn call(&self, due: &Due) -> Call {
        let (instance, step) = (self.state.id, due.step.name);
        let idempotency_key = match due.part {
            Part::Action => id::of_call(instance, step),
            Part::Compensation => {
                let rounds = self.state.step(step).rounds;
                id::of_compensation(instance, step, rounds + 1)
            }
        };
        let results = self.state.steps.iter().filter(|(_, step)| !step.data.is_null());
        let undone = self.state.steps.iter().filter(|(_, step)| !step.undone.is_null());
        Call {
            instance,
            key: self.state.origin.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            data: self.state.origin.as_ref().map(|it| it.data.clone()).unwrap_or_default(),
            step,
            attempt: due.attempt,
            idempotency_key,
            results: results.map(|(name, step)| (name.clone(), step.data.clone())).collect(),
            undone: undone.map(|(name, step)| (name.clone(), step.undone.clone())).collect(),
            reason: self.state.reason.clone().filter(|_| due.part == Part::Compensation),
            metadata: self.metadata(),
        }
    }
}

fn unavailable(reason: &str) -> Answer {
    Answer::Unavailable { reason: reason.to_owned(), retry_after: None }
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Done(data) | Outcome::Append(_, data) => Answer::Done(data),
        Outcome::Rejected(reason) => Answer::Rejected(reason),
        Outcome::Unavailable { reason, retry_after } => Answer::Unavailable { reason, retry_after },
        Outcome::Pending => Answer::Pending,
    }
}
