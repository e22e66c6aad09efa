//! The next time at which an instance has something to do without any input.

use chrono::{DateTime, Utc};

use super::{Instance, Leg, Part, Status};

impl Instance {
    /// The earliest time at which a timer fires; `None` if the instance waits for a signal or a
    /// person, or has ended.
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        let part = match self.status {
            Status::Running => Part::Action,
            Status::Compensating => Part::Compensation,
            _ => return None,
        };
        let legs = self.steps.values().filter_map(|step| match step.leg(part) {
            Leg::Delayed(until) => Some(until),
            Leg::Requested { deadline, .. } => Some(deadline),
            Leg::Resting { deadline, retry_at, .. } => Some(match part {
                Part::Action => retry_at.min(deadline),
                Part::Compensation => retry_at,
            }),
            Leg::Idle | Leg::Done | Leg::Skipped | Leg::Failed { .. } => None,
        });
        let expires_at = self.origin.as_ref().and_then(|origin| origin.expires_at);
        legs.chain(expires_at.filter(|_| self.status == Status::Running)).min()
    }
}
