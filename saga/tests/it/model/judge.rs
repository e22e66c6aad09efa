//! Whether an event may follow in the stream. It is judged by the state right before it.

use saga::event::{Failed, Requested, SagaEvent, Succeeded, TimerFired};
use saga::instance::{Instance, Leg, Part, Status};

use super::book::Time;

/// What went wrong at an append or a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It was decided on another state than the one that it follows.
    Blind,
    /// An attempt was asked for again, or ended again.
    Again,
    /// A timer fired that was not set, or not due.
    Timer,
    /// A call was made that is not in the log.
    Unasked,
}

/// What is wrong with `event` after the events of `instance`.
pub(super) fn judge(instance: &Instance, event: &SagaEvent, now: Time) -> Option<Fault> {
    let leg = |step: &str, part| instance.steps.get(step).map_or(Leg::Idle, |step| step.leg(part));
    match event {
        SagaEvent::StepRequested(it) => asked(leg(&it.step, Part::Action), it),
        SagaEvent::CompensationRequested(it) => asked(leg(&it.step, Part::Compensation), it),
        SagaEvent::StepSucceeded(Succeeded { step, attempt, .. })
        | SagaEvent::StepFailed(Failed { step, attempt, .. }) => {
            ended(leg(step, Part::Action), *attempt)
        }
        SagaEvent::CompensationSucceeded(Succeeded { step, attempt, .. })
        | SagaEvent::CompensationFailed(Failed { step, attempt, .. }) => {
            ended(leg(step, Part::Compensation), *attempt)
        }
        SagaEvent::TimerFired(it) => fired(instance, it, leg, now),
        _ => None,
    }
}

fn asked(leg: Leg, it: &Requested) -> Option<Fault> {
    let next = match leg {
        Leg::Idle | Leg::Delayed(_) => Some(1),
        Leg::Resting { attempt, .. } => Some(attempt + 1),
        _ => None,
    };
    (next != Some(it.attempt)).then_some(Fault::Again)
}

fn ended(leg: Leg, attempt: u32) -> Option<Fault> {
    let is_open = match leg {
        Leg::Requested { attempt: current, .. }
        | Leg::Resting { attempt: current, .. }
        // Its outcome is not known, so it may come late.
        | Leg::Failed { attempt: current, certain: false } => current == attempt,
        _ => false,
    };
    (!is_open).then_some(Fault::Again)
}

fn fired(
    instance: &Instance,
    TimerFired { timer, step }: &TimerFired,
    leg: impl Fn(&str, Part) -> Leg,
    now: Time,
) -> Option<Fault> {
    let part = match instance.status {
        Status::Compensating => Part::Compensation,
        _ => Part::Action,
    };
    let at = match (timer.as_str(), step.as_deref().map(|step| leg(step, part))) {
        ("delay", Some(Leg::Delayed(until))) => Some(until),
        ("deadline", Some(Leg::Requested { deadline, .. } | Leg::Resting { deadline, .. })) => {
            Some(deadline)
        }
        ("expiry", None) if instance.status == Status::Running => {
            instance.origin.as_ref().and_then(|origin| origin.expires_at)
        }
        _ => None,
    };
    let is_due = at.is_some_and(|at| at <= now);
    (!is_due).then_some(Fault::Timer)
}
