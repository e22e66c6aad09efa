//! What follows without any further input: the next steps, the next compensation, or the end.

use chrono::{DateTime, Utc};

use super::data::short;
use super::{Instance, Leg, Status, StepState};
use crate::definition::{Definition, Place, Step};
use crate::event::{Compensated, Compensating, Completed, Delayed, Parked, Requested, SagaEvent};

/// The longest time that is added to another: 100 years.
const FOREVER: chrono::Duration = chrono::Duration::days(36_500);

/// `now` plus this time, or plus [`FOREVER`] if that is shorter.
pub(super) fn after(now: DateTime<Utc>, time: std::time::Duration) -> DateTime<Utc> {
    now + chrono::Duration::from_std(time).unwrap_or(FOREVER).min(FOREVER)
}

impl Instance {
    /// The events that follow now; none if the instance waits or has ended.
    pub(super) fn next(&self, definition: &Definition, now: DateTime<Utc>) -> Vec<SagaEvent> {
        match self.status {
            Status::Running => self.next_step(definition, now),
            Status::Compensating => vec_of(self.next_compensation(definition, now)),
            Status::Absent | Status::Completed | Status::Compensated | Status::Parked => Vec::new(),
        }
    }

    fn next_step(&self, definition: &Definition, now: DateTime<Utc>) -> Vec<SagaEvent> {
        for stage in &definition.stages {
            let legs = || stage.iter().map(|step| (step, self.step(step.name).action));
            let failed = legs().find(|(_, leg)| matches!(leg, Leg::Failed { .. }));
            if let Some((step, _)) = failed {
                // A call that is under way has an outcome soon, which tells what to undo.
                if legs().any(|(step, leg)| is_under_way(step, leg)) {
                    return Vec::new();
                }
                let (reason, details) = (self.failure(step), self.step(step.name).refusal);
                let (step, by) = (Some(step.name.to_owned()), None);
                return vec![SagaEvent::Compensating(Compensating { reason, details, step, by })];
            }
            if legs().any(|(_, leg)| !leg.is_settled()) {
                let idle = legs().filter(|(_, leg)| *leg == Leg::Idle);
                return idle.map(|(step, _)| begin(step, now)).collect();
            }
        }
        vec![SagaEvent::Completed(Completed {})]
    }

    /// Which step failed, and why.
    fn failure(&self, step: &Step) -> String {
        let why = self.step(step.name).failure.unwrap_or_default();
        short(format!("{} failed: {why}", step.name))
    }

    fn next_compensation(&self, definition: &Definition, now: DateTime<Utc>) -> Option<SagaEvent> {
        let reason = || self.undoing.clone().unwrap_or_default().text;
        for step in definition.steps().rev() {
            let state = self.step(step.name);
            let is_due = step.undone_anyway || may_have_effect(step, &state);
            if step.compensation.is_none() || !is_due {
                continue;
            }
            match state.compensation {
                Leg::Done | Leg::Skipped => {}
                Leg::Idle => return Some(undo(step, 1, now)),
                Leg::Delayed(_) | Leg::Requested { .. } | Leg::Resting { .. } => return None,
                Leg::Failed { .. } => {
                    let reason = short(format!("the compensation of {}", self.failure(step)));
                    let parked = Parked { reason, lacks_definition: false, by: None };
                    return Some(SagaEvent::Parked(parked));
                }
            }
        }
        Some(SagaEvent::Compensated(Compensated { reason: reason() }))
    }
}

/// Whether another system is being called.
fn is_under_way(step: &Step, leg: Leg) -> bool {
    step.place == Place::Outside && matches!(leg, Leg::Requested { pending: false, .. })
}

/// Whether the step may have done something that must be undone. An inside action without an
/// outcome has done nothing, because its effect and its outcome are one append.
fn may_have_effect(step: &Step, state: &StepState) -> bool {
    match state.action {
        Leg::Done => true,
        Leg::Requested { .. } | Leg::Resting { .. } | Leg::Failed { certain: false, .. } => {
            step.place == Place::Outside
        }
        Leg::Idle | Leg::Delayed(_) | Leg::Skipped | Leg::Failed { certain: true, .. } => false,
    }
}

/// Asks for a step, or sets the time at which it begins.
fn begin(step: &Step, now: DateTime<Utc>) -> SagaEvent {
    match step.delay {
        Some(delay) => {
            let until = after(now, delay);
            SagaEvent::StepDelayed(Delayed { step: step.name.to_owned(), until })
        }
        None => ask(step, now),
    }
}

/// The first request of a step.
pub(super) fn ask(step: &Step, now: DateTime<Utc>) -> SagaEvent {
    let deadline = after(now, step.deadline);
    let step = step.name.to_owned();
    SagaEvent::StepRequested(Requested { step, attempt: 1, deadline, by: None })
}

/// A request of a compensation. Each attempt has a deadline of its own, and only a pending one can
/// miss it.
pub(super) fn undo(step: &Step, attempt: u32, now: DateTime<Utc>) -> SagaEvent {
    let deadline = after(now, step.deadline);
    let step = step.name.to_owned();
    SagaEvent::CompensationRequested(Requested { step, attempt, deadline, by: None })
}

fn vec_of(event: Option<SagaEvent>) -> Vec<SagaEvent> {
    event.into_iter().collect()
}
