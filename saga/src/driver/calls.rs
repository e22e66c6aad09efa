//! Makes the calls of an instance, and decides on their outcomes.

use std::panic::AssertUnwindSafe;

use chrono::{DateTime, Utc};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::{Instant as Moment, timeout};

use super::append::Appended;
use super::load::Loaded;
use super::{DriveError, Driver};
use crate::action::{Call, Outcome, Work};
use crate::definition::Definition;
use crate::event::SagaEvent;
use crate::instance::{Answer, Due, Input, Instance, Part, data};
use crate::sagas::Saga;
use crate::telemetry;

/// How often an inside action is called again at once because another writer was faster. After
/// that, its attempt has failed.
const MAX_CONFLICTS: u32 = 16;
impl Driver {
    /// Makes the calls at the same time. Each outcome is appended when it is there. Returns `false`
    /// if somebody else drives the instance.
    pub(super) async fn outside(
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
    pub(super) async fn inside(
        &self,
        loaded: &mut Loaded,
        saga: &Saga,
        definition: &Definition,
        due: Due,
    ) -> Result<bool, DriveError> {
        for _ in 0..MAX_CONFLICTS {
            let call = loaded.call(&due);
            let (work, answer) = match self.call(saga, &due, &call).await {
                Outcome::Append(work, data) => match done(data) {
                    answer @ Answer::Done(_) => (Some(work), answer),
                    unfit => (None, unfit),
                },
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
                Appended::Never(reason) => {
                    let answer = Answer::Rejected(reason.into());
                    loaded.answered(definition, &due, answer, self.clock.now());
                    return Ok(true);
                }
                Appended::Invalid(reason) => {
                    loaded.answered(definition, &due, unavailable(&reason), self.clock.now());
                    return Ok(true);
                }
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
    pub(super) fn decide(&mut self, definition: &Definition, input: Input, now: DateTime<Utc>) {
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
        let results = self.state.steps.iter().filter(|(_, step)| !step.data.is_null());
        let deadlines = self.state.steps.iter();
        let deadlines = deadlines.filter_map(|(name, step)| Some((name.clone(), step.deadline?)));
        let undone = self.state.steps.iter().filter(|(_, step)| !step.undone.is_null());
        Call {
            instance,
            key: self.state.origin.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            data: self.state.origin.as_ref().map(|it| it.data.clone()).unwrap_or_default(),
            step,
            attempt: due.attempt,
            idempotency_key: self.state.call_of(step, due.part),
            results: results.map(|(name, step)| (name.clone(), step.data.clone())).collect(),
            deadlines: deadlines.collect(),
            undone: undone.map(|(name, step)| (name.clone(), step.undone.clone())).collect(),
            undoing: self.state.undoing.clone().filter(|_| due.part == Part::Compensation),
            metadata: self.metadata(),
        }
    }
}

fn unavailable(reason: &str) -> Answer {
    Answer::Unavailable { reason: reason.to_owned(), retry_after: None }
}

/// A success, unless the log cannot keep its data.
fn done(data: Value) -> Answer {
    match data::check(&data) {
        Ok(()) => Answer::Done(data),
        Err(unfit) => unavailable(&unfit.to_string()),
    }
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Done(data) | Outcome::Append(_, data) => done(data),
        Outcome::Rejected(reason) => Answer::Rejected(reason),
        Outcome::Unavailable { reason, retry_after } => Answer::Unavailable { reason, retry_after },
        Outcome::Stuck(reason) => Answer::Stuck(reason),
        Outcome::Pending => Answer::Pending,
    }
}
