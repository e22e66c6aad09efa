//! Points of the engine's own work, at which a test can let the process die.

use crate::event::SagaEvent;
use crate::instance::Part;

/// Whether the engine comes to a point or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// What happens there is not in a database yet.
    Before,
    /// What happened there is in a database, and nothing has followed from it.
    After,
}

/// A point of the engine's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point<'a> {
    /// A time has come: the next attempt of a step, the end of its delay, or its deadline.
    Timer {
        /// The name of the step.
        step: &'a str,
        /// Whether its action or its compensation waited for that time.
        part: Part,
    },
    /// The fold of a batch of the log is committed with its checkpoint.
    Checkpoint,
}

/// Follows the engine from point to point. Only processes under test have one.
pub trait Probe: Send + Sync + 'static {
    /// The engine is at this point.
    fn pass(&self, when: When, point: Point<'_>);
}

/// The timers whose effects are among these events.
pub(crate) fn timers(events: &[SagaEvent]) -> impl Iterator<Item = Point<'_>> {
    events.iter().filter_map(|event| {
        let (step, part) = match event {
            SagaEvent::StepRequested(it) if it.attempt > 1 => (&it.step, Part::Action),
            SagaEvent::CompensationRequested(it) if it.attempt > 1 => {
                (&it.step, Part::Compensation)
            }
            SagaEvent::TimerFired(it) => (it.step.as_ref()?, Part::Action),
            _ => return None,
        };
        Some(Point::Timer { step, part })
    })
}
