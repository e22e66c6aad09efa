//! The decision: which events follow from an input at a time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::data::short;
use super::next::{after, ask, undo};
use super::{Instance, Leg, Part, Status, StepState};
use crate::definition::{Definition, Place, Step};
use crate::event::{
    Compensating, Failed, Parked, Pending, Requested, SagaEvent, SignalReceived, Started, Succeeded,
    TimerFired,
};
use crate::reason::Reason;

/// The outcome of one attempt, or a later answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It succeeded. The data is for later steps: ids, never personal data.
    Done(Value),
    /// It was refused for good, and surely had no effect.
    Rejected(Reason),
    /// It failed, and may have had an effect. Another attempt may succeed.
    Unavailable {
        /// Why it failed, for people. It is cut off after 500 characters.
        reason: String,
        /// How long the next attempt has to wait at least; `None` for the step's own pause.
        retry_after: Option<std::time::Duration>,
    },
    /// It cannot go on until a person has changed something, for this reason, which is cut off after
    /// 500 characters. It may have had an effect.
    Stuck(String),
    /// It was accepted. The outcome comes later, as a signal.
    Pending,
}

/// What an event tells an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The outcome of a pending step.
    Answer {
        /// The name of the step.
        step: String,
        /// Whether its action or its compensation was called.
        part: Part,
        /// The idempotency key of the call, if the event names it. The answer to another call than
        /// the last one is ignored, such as a late answer to the first of two compensations.
        #[serde(default)]
        call: Option<Uuid>,
        /// How the call ended.
        answer: Answer,
    },
    /// The instance is no longer wanted, and is undone: if it is parked, when it resumes. A saga
    /// that has ended or is being undone ignores it.
    Cancel {
        /// Why it is not wanted.
        reason: Reason,
    },
}

/// What an instance reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It begins. An instance that has begun ignores it.
    Start {
        /// The name of the saga.
        saga: String,
        /// What it is about, in 1 to 128 bytes.
        key: String,
        /// The ids that its actions need.
        data: Value,
    },
    /// Time has passed, so timers may fire.
    Tick,
    /// A call has ended.
    Answered {
        /// The name of the step.
        step: String,
        /// Whether its action or its compensation was called.
        part: Part,
        /// How the call ended.
        answer: Answer,
    },
    /// An event of the log is for this instance.
    Signal {
        /// The position of that event in the log, from 1.
        position: i64,
        /// What the event tells the instance.
        signal: Signal,
    },
}

impl Instance {
    /// The events that follow from `input`, and all that follows from them. Empty if the input
    /// changes nothing.
    pub fn decide(
        &self,
        definition: &Definition,
        input: Input,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        let first = match input {
            Input::Start { saga, key, data } => self.start(definition, saga, key, data, now),
            Input::Tick => self.tick(definition, now),
            Input::Answered { step, part, answer } => {
                self.answered(definition, &step, part, answer, now)
            }
            Input::Signal { position, signal } => self.signal(definition, position, signal, now),
        };
        self.settle(definition, first, now)
    }

    /// Adds what follows from `events` until the instance waits.
    pub(super) fn settle(
        &self,
        definition: &Definition,
        mut events: Vec<SagaEvent>,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        let mut state = events.iter().fold(self.clone(), Self::evolve);
        loop {
            let next = state.next(definition, now);
            if next.is_empty() {
                return events;
            }
            state = next.iter().fold(state, Self::evolve);
            events.extend(next);
        }
    }

    fn start(
        &self,
        definition: &Definition,
        saga: String,
        key: String,
        data: Value,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        if self.status != Status::Absent {
            return Vec::new();
        }
        let expires_at = definition.expiry.map(|expiry| after(now, expiry));
        let definition = definition.version;
        vec![SagaEvent::Started(Started { saga, definition, key, data, expires_at })]
    }

    fn tick(&self, definition: &Definition, now: DateTime<Utc>) -> Vec<SagaEvent> {
        let mut events = Vec::new();
        let part = match self.status {
            Status::Running => Part::Action,
            Status::Compensating => Part::Compensation,
            _ => return events,
        };
        for step in definition.steps() {
            let leg = self.step(step.name).leg(part);
            events.extend(self.tick_step(step, part, leg, now));
        }
        let expires_at = self.origin.as_ref().and_then(|origin| origin.expires_at);
        if self.status == Status::Running && expires_at.is_some_and(|at| at <= now) {
            events.push(fired("expiry", None));
            let reason = "it did not complete in time".to_owned();
            events.push(undoing(reason.into()));
        }
        events
    }

    fn tick_step(&self, step: &Step, part: Part, leg: Leg, now: DateTime<Utc>) -> Vec<SagaEvent> {
        match (leg, part) {
            (Leg::Delayed(until), _) if until <= now => {
                vec![fired("delay", Some(step)), ask(step, now)]
            }
            (
                Leg::Requested { attempt, deadline, .. } | Leg::Resting { attempt, deadline, .. },
                Part::Action,
            ) if deadline <= now => {
                let reason = "no outcome in time".to_owned();
                vec![fired("deadline", Some(step)), failed(step, part, attempt, reason, None)]
            }
            (Leg::Requested { attempt, deadline, pending: true }, Part::Compensation)
                if deadline <= now =>
            {
                let missed = Answer::Unavailable {
                    reason: "no outcome in time".to_owned(),
                    retry_after: None,
                };
                let failed = self.attempt_ended(step, part, attempt, deadline, missed, now);
                std::iter::once(fired("deadline", Some(step))).chain(failed).collect()
            }
            (Leg::Resting { attempt, deadline, retry_at }, Part::Action) if retry_at <= now => {
                let (step, attempt) = (step.name.to_owned(), attempt + 1);
                vec![SagaEvent::StepRequested(Requested { step, attempt, deadline, by: None })]
            }
            (Leg::Resting { attempt, retry_at, .. }, Part::Compensation) if retry_at <= now => {
                vec![undo(step, attempt + 1, now)]
            }
            _ => Vec::new(),
        }
    }

    fn answered(
        &self,
        definition: &Definition,
        name: &str,
        part: Part,
        answer: Answer,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        let Some(step) = definition.step(name) else { return Vec::new() };
        let state = self.step(name);
        if part == Part::Action && self.ahead() != Status::Running {
            return vec_of(late(step, &state, answer));
        }
        match state.leg(part) {
            Leg::Requested { attempt, deadline, .. } | Leg::Resting { attempt, deadline, .. } => {
                self.attempt_ended(step, part, attempt, deadline, answer, now)
            }
            _ => Vec::new(),
        }
    }

    /// The events that end an attempt.
    fn attempt_ended(
        &self,
        step: &Step,
        part: Part,
        attempt: u32,
        deadline: DateTime<Utc>,
        answer: Answer,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        let name = step.name.to_owned();
        vec![match (answer, part) {
            (Answer::Done(data), Part::Action) => {
                SagaEvent::StepSucceeded(Succeeded { step: name, attempt, data })
            }
            (Answer::Done(data), Part::Compensation) => {
                SagaEvent::CompensationSucceeded(Succeeded { step: name, attempt, data })
            }
            (Answer::Rejected(reason), Part::Action) => {
                SagaEvent::StepFailed(refused(name, attempt, reason))
            }
            // What it should undo may still stand, but this call had no effect.
            (Answer::Rejected(reason), Part::Compensation) => {
                SagaEvent::CompensationFailed(refused(name, attempt, reason))
            }
            (Answer::Unavailable { reason, retry_after }, _) => {
                let retry = match part {
                    Part::Action => step.retry,
                    Part::Compensation => step.compensation_retry,
                };
                let pause = retry.pause(attempt, self.seed()).max(retry_after.unwrap_or_default());
                let at = after(now, pause);
                let in_time = part == Part::Compensation || at < deadline;
                let retry_at = (attempt < retry.attempts && in_time).then_some(at);
                failed(step, part, attempt, reason, retry_at)
            }
            (Answer::Stuck(reason), Part::Action) => {
                return self.stuck(step, attempt, reason, now);
            }
            // A compensation without another attempt parks the saga.
            (Answer::Stuck(reason), Part::Compensation) => {
                failed(step, part, attempt, reason, None)
            }
            (Answer::Pending, _) => {
                if let Leg::Requested { pending: true, .. } = self.step(step.name).leg(part) {
                    return Vec::new();
                }
                let pending = Pending { step: name, attempt };
                match part {
                    Part::Action => SagaEvent::StepPending(pending),
                    Part::Compensation => SagaEvent::CompensationPending(pending),
                }
            }
        }]
    }

    /// The saga is parked, and the action rests until it resumes.
    fn stuck(
        &self,
        step: &Step,
        attempt: u32,
        reason: String,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        let why = short(format!("{} cannot go on: {reason}", step.name));
        let parked = Parked { reason: why, lacks_definition: false, by: None };
        let parked = (self.status == Status::Running).then_some(SagaEvent::Parked(parked));
        let rests = failed(step, Part::Action, attempt, reason, Some(now));
        std::iter::once(rests).chain(parked).collect()
    }

    fn signal(
        &self,
        definition: &Definition,
        position: i64,
        signal: Signal,
        now: DateTime<Utc>,
    ) -> Vec<SagaEvent> {
        if self.status == Status::Absent || position <= self.last_signal {
            return Vec::new();
        }
        let received = |signal: &str, step: Option<String>| {
            let signal = signal.to_owned();
            SagaEvent::SignalReceived(SignalReceived { position, signal, step })
        };
        match signal {
            Signal::Cancel { reason } if self.ahead() == Status::Running => {
                vec![received("cancel", None), undoing(reason)]
            }
            Signal::Cancel { .. } => Vec::new(),
            Signal::Answer { step, part, call, .. }
                if call.is_some_and(|call| call != self.call_of(&step, part)) =>
            {
                Vec::new()
            }
            Signal::Answer { step, part, answer, .. } => {
                let events = self.answered(definition, &step, part, answer, now);
                if events.is_empty() {
                    return events;
                }
                let first = received("answer", Some(step));
                std::iter::once(first).chain(events).collect()
            }
        }
    }
}

/// What an answer to an action changes when its saga is being undone or has ended. A success is
/// undone, even if that was done before: it may have come after the compensation looked.
fn late(step: &Step, state: &StepState, answer: Answer) -> Option<SagaEvent> {
    let (Leg::Requested { attempt, .. }
    | Leg::Resting { attempt, .. }
    | Leg::Failed { attempt, certain: false }) = state.action
    else {
        return None;
    };
    step.compensation?;
    let name = step.name.to_owned();
    match answer {
        Answer::Done(data) => {
            Some(SagaEvent::StepSucceeded(Succeeded { step: name, attempt, data }))
        }
        Answer::Rejected(reason) if state.compensation == Leg::Idle => {
            Some(SagaEvent::StepFailed(refused(name, attempt, reason)))
        }
        Answer::Rejected(_)
        | Answer::Unavailable { .. }
        | Answer::Stuck(_)
        | Answer::Pending => None,
    }
}

fn vec_of(event: Option<SagaEvent>) -> Vec<SagaEvent> {
    event.into_iter().collect()
}

fn fired(timer: &str, step: Option<&Step>) -> SagaEvent {
    let (timer, step) = (timer.to_owned(), step.map(|step| step.name.to_owned()));
    SagaEvent::TimerFired(TimerFired { timer, step })
}

/// The instance is undone for a reason that no step gave.
fn undoing(reason: Reason) -> SagaEvent {
    let Reason { text: reason, details } = reason.storable();
    SagaEvent::Compensating(Compensating { reason, details, step: None, by: None })
}

/// An attempt that was refused for good, and surely had no effect.
fn refused(step: String, attempt: u32, reason: Reason) -> Failed {
    let Reason { text: reason, details } = reason.storable();
    Failed { step, attempt, reason, retry_at: None, certain: true, details }
}

/// A failed attempt. Outside, nobody knows whether it had an effect; inside, it had none.
fn failed(
    step: &Step,
    part: Part,
    attempt: u32,
    reason: String,
    retry_at: Option<DateTime<Utc>>,
) -> SagaEvent {
    let place = match part {
        Part::Action => Some(step.place),
        Part::Compensation => step.compensation,
    };
    let certain = place == Some(Place::Inside);
    let (step, reason, details) = (step.name.to_owned(), short(reason), Value::Null);
    let failed = Failed { step, attempt, reason, retry_at, certain, details };
    match part {
        Part::Action => SagaEvent::StepFailed(failed),
        Part::Compensation => SagaEvent::CompensationFailed(failed),
    }
}
