//! The fold: the state after an event. It needs no definition, so any program can read any
//! instance.

use super::{Instance, Leg, Part, Status, StepState};
use crate::event::{Compensating, Failed, Requested, SagaEvent};
use crate::reason::Undoing;

impl Instance {
    /// The state after `event`.
    #[must_use]
    pub fn evolve(mut self, event: &SagaEvent) -> Self {
        match event {
            SagaEvent::Started(started) => {
                self.origin = Some(started.clone().into());
                self.status = Status::Running;
            }
            SagaEvent::StepDelayed(it) => {
                self.set(&it.step, Part::Action, Leg::Delayed(it.until));
            }
            SagaEvent::StepRequested(it) => {
                self.set(&it.step, Part::Action, requested(it));
                self.entry(&it.step).deadline = Some(it.deadline);
            }
            SagaEvent::CompensationRequested(it) => {
                self.set(&it.step, Part::Compensation, requested(it));
            }
            SagaEvent::StepPending(it) => self.pend(&it.step, Part::Action),
            SagaEvent::CompensationPending(it) => self.pend(&it.step, Part::Compensation),
            SagaEvent::StepSucceeded(it) => self.succeed(&it.step, it.data.clone()),
            SagaEvent::CompensationSucceeded(it) => self.undone(&it.step, it.data.clone()),
            SagaEvent::StepFailed(it) => self.fail(it, Part::Action),
            SagaEvent::CompensationFailed(it) => self.fail(it, Part::Compensation),
            SagaEvent::CompensationSkipped(it) => {
                self.set(&it.step, Part::Compensation, Leg::Skipped);
            }
            // What follows from it is an event of its own.
            SagaEvent::TimerFired(_) => {}
            SagaEvent::SignalReceived(it) => self.last_signal = it.position,
            SagaEvent::Compensating(it) => {
                match self.status {
                    // It is undone when it resumes.
                    Status::Parked => self.parked_from = Status::Compensating,
                    _ => self.status = Status::Compensating,
                }
                let Compensating { reason, details, step, by } = it.clone();
                self.undoing = Some(Undoing { text: reason, details, step, by });
            }
            SagaEvent::Completed(_) => self.status = Status::Completed,
            SagaEvent::Compensated(_) => self.status = Status::Compensated,
            SagaEvent::Parked(it) => {
                self.parked_from = self.status;
                self.status = Status::Parked;
                self.parked_for = Some(it.reason.clone());
                self.lacks_definition = it.lacks_definition;
            }
            SagaEvent::Resumed(_) => self.resume(),
        }
        self
    }

    fn entry(&mut self, step: &str) -> &mut StepState {
        self.steps.entry(step.to_owned()).or_default()
    }

    fn set(&mut self, step: &str, part: Part, leg: Leg) {
        let entry = self.entry(step);
        match part {
            Part::Action => entry.action = leg,
            Part::Compensation => entry.compensation = leg,
        }
    }

    fn pend(&mut self, step: &str, part: Part) {
        if let Leg::Requested { attempt, deadline, .. } = self.step(step).leg(part) {
            self.set(step, part, Leg::Requested { attempt, deadline, pending: true });
        }
    }

    fn succeed(&mut self, step: &str, data: serde_json::Value) {
        let entry = self.entry(step);
        entry.action = Leg::Done;
        entry.data = data;
        match entry.compensation {
            // It succeeded after it had been undone.
            Leg::Done => {
                entry.compensation = Leg::Idle;
                entry.rounds += 1;
                if self.status == Status::Compensated {
                    self.status = Status::Compensating;
                }
            }
            Leg::Requested { .. } | Leg::Resting { .. } => entry.again = true,
            // Under the key of its attempts, the other side may repeat that there is nothing to
            // undo.
            Leg::Failed { .. } => entry.rounds += 1,
            Leg::Idle | Leg::Delayed(_) | Leg::Skipped => {}
        }
    }

    fn undone(&mut self, step: &str, data: serde_json::Value) {
        let entry = self.entry(step);
        entry.undone = data;
        if std::mem::take(&mut entry.again) {
            entry.rounds += 1;
            entry.compensation = Leg::Idle;
        } else {
            entry.compensation = Leg::Done;
        }
    }

    fn fail(&mut self, failed: &Failed, part: Part) {
        let deadline = match self.step(&failed.step).leg(part) {
            Leg::Requested { deadline, .. } | Leg::Resting { deadline, .. } => Some(deadline),
            _ => None,
        };
        let attempt = failed.attempt;
        let leg = match (failed.retry_at, deadline) {
            (Some(retry_at), deadline) => {
                Leg::Resting { attempt, deadline: deadline.unwrap_or(retry_at), retry_at }
            }
            (None, _) => Leg::Failed { attempt, certain: failed.certain },
        };
        self.set(&failed.step, part, leg);
        let entry = self.entry(&failed.step);
        entry.failure = Some(failed.reason.clone());
        if part == Part::Action {
            entry.refusal.clone_from(&failed.details);
        }
    }

    /// A compensation that used up its attempts gets new ones: a person wants it. One that was
    /// refused gets a new key, under which the other side does not repeat its refusal. Where the
    /// outcome is not known, the key stays.
    fn resume(&mut self) {
        self.status = self.parked_from;
        self.parked_for = None;
        self.lacks_definition = false;
        for step in self.steps.values_mut() {
            if let Leg::Failed { certain, .. } = step.compensation {
                step.compensation = Leg::Idle;
                step.rounds += u32::from(certain);
            }
        }
    }
}

const fn requested(requested: &Requested) -> Leg {
    let Requested { attempt, deadline, .. } = *requested;
    Leg::Requested { attempt, deadline, pending: false }
}
