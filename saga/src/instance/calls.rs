//! The calls that an instance waits for somebody to make.

use uuid::Uuid;

use super::{Instance, Leg, Part, Status};
use crate::definition::{Definition, Place, Step};
use crate::id;

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Due {
    /// The step that is called, as its definition says.
    pub step: Step,
    /// What is to be called.
    pub part: Part,
    /// Where it takes effect.
    pub place: Place,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

impl Instance {
    /// The idempotency key of the current or next call of a step's action or compensation.
    pub fn call_of(&self, step: &str, part: Part) -> Uuid {
        match part {
            Part::Action => id::of_call(self.id, step),
            Part::Compensation => id::of_compensation(self.id, step, self.step(step).rounds + 1),
        }
    }

    /// The calls to be made now, in the order of the steps.
    pub fn calls(&self, definition: &Definition) -> Vec<Due> {
        let part = match self.status {
            Status::Running => Part::Action,
            Status::Compensating => Part::Compensation,
            _ => return Vec::new(),
        };
        let calls = definition.steps().filter_map(|step| {
            let Leg::Requested { attempt, pending: false, .. } = self.step(step.name).leg(part)
            else {
                return None;
            };
            let place = match part {
                Part::Action => step.place,
                Part::Compensation => step.compensation?,
            };
            Some(Due { step: step.clone(), part, place, attempt })
        });
        calls.collect()
    }
}
