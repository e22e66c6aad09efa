//! A saga as data: its steps, what undoes each of them, and its times.

use std::collections::BTreeSet;
use std::time::Duration;

use event_store::stream::is_category;

/// The maximum number of steps of a saga.
pub const MAX_STEPS: usize = 64;

/// Where an action takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the log: the action makes events, which are appended together with the step's outcome.
    Inside,
    /// Elsewhere: the action calls another system under an idempotency key.
    Outside,
}

/// How often and when a failed attempt is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The maximum number of attempts, at least 1.
    pub attempts: u32,
    /// The nominal pause after the first attempt. It doubles each time.
    pub first: Duration,
    /// The longest nominal pause.
    pub most: Duration,
}

impl Retry {
    /// Until the step's deadline, with pauses from half a second to a minute.
    pub const DEFAULT: Self = Self {
        attempts: u32::MAX,
        first: Duration::from_millis(500),
        most: Duration::from_mins(1),
    };

    /// For one to two days, with pauses from half a second to ten minutes. For compensations, which
    /// have no deadline over all attempts.
    pub const FOR_A_DAY: Self =
        Self { attempts: 300, most: Duration::from_mins(10), ..Self::DEFAULT };

    /// The pause after `attempt`, between half and all of its nominal length. The same `seed` gives
    /// the same pause, so that decisions are repeatable.
    pub fn pause(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let nominal = self.first.saturating_mul(1 << doublings).min(self.most);
        // A multiplicative hash: neighbouring attempts and instances get unrelated fractions.
        let mixed = seed.wrapping_add(u64::from(attempt)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let thousandths = u32::try_from((mixed >> 32) % 501).unwrap_or(0);
        nominal / 2 + nominal / 1_000 * thousandths
    }
}

/// One step of a saga.
#[derive(Debug, Clone)]
pub struct Step {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) compensation: Option<Place>,
    pub(crate) undone_anyway: bool,
    pub(crate) deadline: Duration,
    pub(crate) call_limit: Duration,
    pub(crate) retry: Retry,
    pub(crate) compensation_retry: Retry,
    pub(crate) delay: Option<Duration>,
}

impl Step {
    /// A step whose action takes effect in the log.
    pub const fn inside(name: &'static str) -> Self {
        Self::new(name, Place::Inside)
    }

    /// A step whose action calls another system.
    pub const fn outside(name: &'static str) -> Self {
        Self::new(name, Place::Outside)
    }

    const fn new(name: &'static str, place: Place) -> Self {
        Self {
            name,
            place,
            compensation: None,
            undone_anyway: false,
            deadline: Duration::from_mins(15),
            call_limit: Duration::from_secs(20),
            retry: Retry::DEFAULT,
            compensation_retry: Retry::FOR_A_DAY,
            delay: None,
        }
    }

    /// What undoes the step takes effect in the log.
    #[must_use]
    pub const fn undone_inside(mut self) -> Self {
        self.compensation = Some(Place::Inside);
        self
    }

    /// What undoes the step calls another system.
    #[must_use]
    pub const fn undone_outside(mut self) -> Self {
        self.compensation = Some(Place::Outside);
        self
    }

    /// Its compensation is called whenever the saga is undone, even if the step never began. Use it
    /// for what has to happen before the steps in front of it are undone, such as closing something
    /// to others.
    #[must_use]
    pub const fn undone_anyway(mut self) -> Self {
        self.undone_anyway = true;
        self
    }

    /// How long the step may take from its first request until its outcome, over all attempts. A
    /// step without an outcome by then has failed, and may have had an effect. The default is 15
    /// minutes.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long one call of the action or of the compensation may take.
    #[must_use]
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    /// How the action is repeated within its deadline. The default is [`Retry::DEFAULT`]. A number
    /// of attempts may end the step long before its deadline, so it does not fit a step that waits.
    #[must_use]
    pub const fn retried(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How the compensation is repeated. When its attempts are used up, the saga is parked. The
    /// default is [`Retry::FOR_A_DAY`].
    #[must_use]
    pub const fn undo_retried(mut self, retry: Retry) -> Self {
        self.compensation_retry = retry;
        self
    }

    /// How long after the end of the steps before it the step begins.
    #[must_use]
    pub const fn delayed(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The name, which no other step of the saga has.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where what undoes it takes effect; `None` if nothing undoes it.
    pub const fn compensation(&self) -> Option<Place> {
        self.compensation
    }
}

/// One version of a saga: its steps in order.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) version: i32,
    pub(crate) stages: Vec<Vec<Step>>,
    pub(crate) expiry: Option<Duration>,
}

/// Why a definition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDefinition {
    /// A name has another form than `[a-z][a-z0-9_]*`, or is too long.
    #[error("{0:?} is not a valid name of a saga or a step")]
    Name(String),
    /// A step is undone in any case, and has no compensation.
    #[error("the step {0} has no compensation that could be called in any case")]
    NotUndone(&'static str),
    /// Two steps have one name.
    #[error("two steps have the name {0}")]
    Twice(&'static str),
    /// There is no step, or more than [`MAX_STEPS`].
    #[error("a saga has 1 to {MAX_STEPS} steps, not {0}")]
    Steps(usize),
    /// A step has no attempt, or its version is below 1.
    #[error("{0} is below 1")]
    BelowOne(&'static str),
    /// Two definitions of a saga have one version, or a saga has none.
    #[error("the versions of {0} are not different, or there is none")]
    Versions(&'static str),
    /// Two sagas have one name.
    #[error("two sagas have the name {0}")]
    Sagas(&'static str),
}

impl Definition {
    /// A saga without steps in this version, from 1. Instances keep the version they began with.
    pub const fn version(version: i32) -> Self {
        Self { version, stages: Vec::new(), expiry: None }
    }

    /// Adds a step after those so far.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.stages.push(vec![step]);
        self
    }

    /// Adds steps that run at the same time after those so far. The next step begins when all of
    /// them have ended.
    #[must_use]
    pub fn then_together<const N: usize>(mut self, steps: [Step; N]) -> Self {
        self.stages.push(steps.into());
        self
    }

    /// A saga that has not completed after this time is compensated.
    #[must_use]
    pub const fn expiring_after(mut self, expiry: Duration) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// The steps, in order.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.stages.iter().flatten()
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps().find(|step| step.name == name)
    }

    /// Checks the definition.
    ///
    /// # Errors
    /// [`InvalidDefinition`].
    pub fn check(&self) -> Result<(), InvalidDefinition> {
        let count = self.steps().count();
        if !(1..=MAX_STEPS).contains(&count) || self.stages.iter().any(Vec::is_empty) {
            return Err(InvalidDefinition::Steps(count));
        }
        if self.version < 1 {
            return Err(InvalidDefinition::BelowOne("the version of a definition"));
        }
        let mut names = BTreeSet::new();
        for step in self.steps() {
            if !is_category(step.name) {
                return Err(InvalidDefinition::Name(step.name.to_owned()));
            }
            if !names.insert(step.name) {
                return Err(InvalidDefinition::Twice(step.name));
            }
            if step.undone_anyway && step.compensation.is_none() {
                return Err(InvalidDefinition::NotUndone(step.name));
            }
            if step.retry.attempts == 0 || step.compensation_retry.attempts == 0 {
                return Err(InvalidDefinition::BelowOne("the number of attempts of a step"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_repeat_for_one_seed() {
        let retry = Retry::DEFAULT;
        for attempt in 1..=20 {
            let nominal = retry.first.saturating_mul(1 << (attempt - 1)).min(retry.most);
            let pauses: BTreeSet<Duration> =
                (0..50).map(|seed| retry.pause(attempt, seed)).collect();
            assert!(pauses.iter().all(|pause| *pause >= nominal / 2 && *pause <= nominal));
            assert!(pauses.len() > 25, "{pauses:?}");
            assert_eq!(retry.pause(attempt, 7), retry.pause(attempt, 7));
        }
    }

    #[test]
    fn a_compensation_is_repeated_for_a_day_at_least_and_two_at_most() {
        let retry = Retry::FOR_A_DAY;
        let day = Duration::from_hours(24);
        for seed in 0..20 {
            let pauses: Duration = (1..retry.attempts).map(|it| retry.pause(it, seed)).sum();
            assert!(pauses > day && pauses < 2 * day, "{pauses:?}");
        }
    }

    #[test]
    fn a_definition_names_each_step_once() {
        let two = |a, b| Definition::version(1).then(Step::inside(a)).then(Step::outside(b));
        assert_eq!(two("a", "b").check(), Ok(()));
        assert_eq!(two("a", "a").check(), Err(InvalidDefinition::Twice("a")));
        assert_eq!(two("a", "B/c").check(), Err(InvalidDefinition::Name("B/c".into())));
        assert_eq!(Definition::version(1).check(), Err(InvalidDefinition::Steps(0)));
        let none = Step::inside("a").retried(Retry { attempts: 0, ..Retry::DEFAULT });
        assert!(Definition::version(1).then(none).check().is_err());
        let undone = Definition::version(1).then(Step::inside("a").undone_anyway());
        assert_eq!(undone.check(), Err(InvalidDefinition::NotUndone("a")));
        assert!(Definition { version: 0, ..two("a", "b") }.check().is_err());
    }
}
