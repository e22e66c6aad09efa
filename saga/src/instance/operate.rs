//! What people decide about an instance.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::data::short;
use super::next::after;
use super::{Instance, Leg, Part, Status};
use crate::definition::Definition;
use crate::event::{Compensating, Parked, Requested, Resumed, SagaEvent, Skipped};

/// A person's decision. `by` is an opaque id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The next attempt of a step, or of its compensation, begins now.
    Retry {
        /// The name of the step, which waits for its next attempt or is parked.
        step: String,
    },
    /// A compensation is not needed, for this reason.
    SkipCompensation {
        /// The name of the step that stays as it is.
        step: String,
        /// Why it need not be undone. It is cut off after 500 characters.
        reason: String,
    },
    /// The instance is undone from here.
    GiveUp {
        /// Why it is undone. It is cut off after 500 characters.
        reason: String,
    },
    /// A parked instance goes on.
    Resume,
    /// The instance stands still until somebody resumes it.
    Park {
        /// Why it stands still. It is cut off after 500 characters.
        reason: String,
    },
}

/// Why a decision does not fit the instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such instance.
    #[error("there is no such saga")]
    Absent,
    /// The saga has no such step.
    #[error("the saga has no step {0}")]
    NoSuchStep(String),
    /// The step is not at a point at which this can be decided.
    #[error("{part} of {step} does not wait for another attempt", part = part.as_str())]
    NotWaiting {
        /// The name of the step.
        step: String,
        /// Whether its action or its compensation.
        part: Part,
    },
    /// The instance is not in a state in which this can be decided.
    #[error("the saga is {}", .0.as_str())]
    Status(Status),
}

impl Instance {
    /// The events that follow from a person's decision.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn operate(
        &self,
        definition: &Definition,
        decision: Decision,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<SagaEvent>, Refused> {
        let resumed = || SagaEvent::Resumed(Resumed { by: by.to_owned() });
        let first = match (decision, self.status) {
            (_, Status::Absent) => return Err(Refused::Absent),
            (Decision::Retry { step }, Status::Parked) => {
                vec![self.retry_parked(definition, step, resumed())?]
            }
            (Decision::Retry { step }, status) => {
                vec![self.retry(definition, step, by, status, now)?]
            }
            (Decision::SkipCompensation { step, reason }, status) => {
                self.skip(definition, step, short(reason), by, status, resumed)?
            }
            (Decision::GiveUp { reason }, Status::Running) => vec![given_up(reason, by)],
            (Decision::GiveUp { reason }, Status::Parked)
                if self.parked_from == Status::Running =>
            {
                vec![resumed(), given_up(reason, by)]
            }
            (Decision::Resume, Status::Parked) => {
                std::iter::once(resumed()).chain(self.go_on(definition, by, now)).collect()
            }
            (Decision::Park { reason }, Status::Running | Status::Compensating) => {
                let (reason, by) = (short(reason), Some(by.to_owned()));
                vec![SagaEvent::Parked(Parked { reason, lacks_definition: false, by })]
            }
            (_, status) => return Err(Refused::Status(status)),
        };
        Ok(self.settle(definition, first, now))
    }

    /// The next attempt begins now.
    fn retry(
        &self,
        definition: &Definition,
        step: String,
        by: &str,
        status: Status,
        now: DateTime<Utc>,
    ) -> Result<SagaEvent, Refused> {
        let Some(defined) = definition.step(&step) else { return Err(Refused::NoSuchStep(step)) };
        let part = match status {
            Status::Running => Part::Action,
            Status::Compensating => Part::Compensation,
            status => return Err(Refused::Status(status)),
        };
        let Leg::Resting { attempt, deadline, .. } = self.step(&step).leg(part) else {
            return Err(Refused::NotWaiting { step, part });
        };
        let (attempt, by) = (attempt + 1, Some(by.to_owned()));
        Ok(match part {
            Part::Action => SagaEvent::StepRequested(Requested { step, attempt, deadline, by }),
            Part::Compensation => {
                let deadline = after(now, defined.deadline);
                SagaEvent::CompensationRequested(Requested { step, attempt, deadline, by })
            }
        })
    }

    /// The actions of a parked instance whose next attempts are due begin them. Their deadlines begin
    /// again, because the time for which they waited for a person does not count.
    fn go_on(
        &self,
        definition: &Definition,
        by: &str,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = SagaEvent> {
        let is_running = self.parked_from == Status::Running;
        definition.steps().filter_map(move |step| {
            let Leg::Resting { attempt, retry_at, .. } = self.step(step.name).action else {
                return None;
            };
            let (deadline, by) = (after(now, step.deadline), Some(by.to_owned()));
            let (step, attempt) = (step.name.to_owned(), attempt.saturating_add(1));
            let asked = Requested { step, attempt, deadline, by };
            (is_running && retry_at <= now).then_some(SagaEvent::StepRequested(asked))
        })
    }

    /// A compensation that used up its attempts gets new ones when the instance resumes.
    fn retry_parked(
        &self,
        definition: &Definition,
        step: String,
        resumed: SagaEvent,
    ) -> Result<SagaEvent, Refused> {
        if definition.step(&step).is_none() {
            return Err(Refused::NoSuchStep(step));
        }
        match self.step(&step).compensation {
            Leg::Failed { .. } => Ok(resumed),
            _ => Err(Refused::NotWaiting { step, part: Part::Compensation }),
        }
    }

    fn skip(
        &self,
        definition: &Definition,
        step: String,
        reason: String,
        by: &str,
        status: Status,
        resumed: impl Fn() -> SagaEvent,
    ) -> Result<Vec<SagaEvent>, Refused> {
        if definition.step(&step).is_none() {
            return Err(Refused::NoSuchStep(step));
        }
        let part = Part::Compensation;
        if self.step(&step).compensation.is_settled() {
            return Err(Refused::NotWaiting { step, part });
        }
        let skipped = Skipped { step, reason, by: by.to_owned() };
        let skipped = SagaEvent::CompensationSkipped(skipped);
        match status {
            Status::Compensating => Ok(vec![skipped]),
            Status::Parked if self.parked_from == Status::Compensating => {
                Ok(vec![skipped, resumed()])
            }
            status => Err(Refused::Status(status)),
        }
    }
}

fn given_up(reason: String, by: &str) -> SagaEvent {
    let (reason, by) = (short(reason), Some(by.to_owned()));
    SagaEvent::Compensating(Compensating { reason, details: Value::Null, step: None, by })
}
