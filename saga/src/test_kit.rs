//! Tests of a definition without a store and without waiting (feature `test-kit`): given an
//! instance, when this happens at that time, then these events follow.
//!
//! ```
//! use saga::test_kit::Story;
//! use saga::{Definition, Step};
//! use serde_json::json;
//!
//! let lending = Definition::version(1)
//!     .then(Step::inside("reserve").undone_inside())
//!     .then(Step::outside("deliver"));
//! Story::of(&lending)
//!     .starts("17", json!({}))
//!     .then(&["started lending v1 17", "step_requested reserve #1"])
//!     .done("reserve")
//!     .then(&["step_succeeded reserve #1", "step_requested deliver #1"])
//!     .rejected("deliver", "no such street")
//!     .then(&[
//!         "step_failed deliver #1: no such street",
//!         "compensating: deliver failed: no such street",
//!         "compensation_requested reserve #1",
//!     ])
//!     .undone("reserve")
//!     .then(&[
//!         "compensation_succeeded reserve #1",
//!         "compensated: deliver failed: no such street",
//!     ]);
//! ```

#![allow(clippy::panic, reason = "it fails tests")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::definition::Definition;
use crate::event::SagaEvent;
use crate::id;
use crate::instance::{Answer, Decision, Input, Instance, Part, Refused, Signal, Status};
use crate::reason::Reason;

/// The name of the saga in a story.
const SAGA: &str = "lending";

/// An instance in virtual time.
#[derive(Debug, Clone)]
pub struct Story<'d> {
    definition: &'d Definition,
    instance: Instance,
    now: DateTime<Utc>,
    news: Vec<SagaEvent>,
    position: i64,
}

#[allow(clippy::return_self_not_must_use, reason = "a story may end with an assertion")]
impl<'d> Story<'d> {
    /// An instance that has not begun.
    pub fn of(definition: &'d Definition) -> Self {
        Self {
            definition,
            instance: Instance::absent(id::of_instance(SAGA, "17")),
            now: DateTime::UNIX_EPOCH,
            news: Vec::new(),
            position: 0,
        }
    }

    /// The instance begins with this key and these data.
    #[must_use]
    pub fn starts(self, key: &str, data: Value) -> Self {
        let (saga, key) = (SAGA.to_owned(), key.to_owned());
        self.when(Input::Start { saga, key, data })
    }

    /// The instance gets this input at the story's time.
    #[must_use]
    pub fn when(self, input: Input) -> Self {
        let events = self.instance.decide(self.definition, input, self.now);
        self.with(events)
    }

    /// This time passes, and the timers that are due fire.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.now += chrono::Duration::from_std(time).unwrap_or_default();
        self.when(Input::Tick)
    }

    /// Time passes until the next timer fires.
    ///
    /// # Panics
    /// No timer is set.
    #[must_use]
    pub fn later(mut self) -> Self {
        let due = self.instance.due_at();
        self.now =
            due.unwrap_or_else(|| panic!("no timer is set: {:?}", self.instance)).max(self.now);
        self.when(Input::Tick)
    }

    /// An action or a compensation answers.
    #[must_use]
    pub fn answers(self, step: &str, part: Part, answer: Answer) -> Self {
        self.when(Input::Answered { step: step.to_owned(), part, answer })
    }

    /// The action of a step succeeds and returns nothing.
    #[must_use]
    pub fn done(self, step: &str) -> Self {
        self.answers(step, Part::Action, Answer::Done(Value::Null))
    }

    /// The action of a step is refused for good, so it had no effect.
    #[must_use]
    pub fn rejected(self, step: &str, reason: impl Into<Reason>) -> Self {
        self.answers(step, Part::Action, Answer::Rejected(reason.into()))
    }

    /// The action of a step fails, and may have had an effect.
    #[must_use]
    pub fn fails(self, step: &str, reason: &str) -> Self {
        let (reason, retry_after) = (reason.to_owned(), None);
        self.answers(step, Part::Action, Answer::Unavailable { reason, retry_after })
    }

    /// The compensation of a step succeeds.
    #[must_use]
    pub fn undone(self, step: &str) -> Self {
        self.answers(step, Part::Compensation, Answer::Done(Value::Null))
    }

    /// The action of a step cannot go on until a person has changed something.
    #[must_use]
    pub fn stuck(self, step: &str, reason: &str) -> Self {
        self.answers(step, Part::Action, Answer::Stuck(reason.to_owned()))
    }

    /// The compensation of a step cannot go on until a person has changed something.
    #[must_use]
    pub fn undo_stuck(self, step: &str, reason: &str) -> Self {
        self.answers(step, Part::Compensation, Answer::Stuck(reason.to_owned()))
    }

    /// The compensation of a step is refused for good, so it had no effect.
    #[must_use]
    pub fn undo_rejected(self, step: &str, reason: impl Into<Reason>) -> Self {
        self.answers(step, Part::Compensation, Answer::Rejected(reason.into()))
    }

    /// The compensation of a step fails, and may have had an effect.
    #[must_use]
    pub fn undo_fails(self, step: &str, reason: &str) -> Self {
        let (reason, retry_after) = (reason.to_owned(), None);
        self.answers(step, Part::Compensation, Answer::Unavailable { reason, retry_after })
    }

    /// An event of the log is for the instance.
    #[must_use]
    pub fn hears(mut self, signal: Signal) -> Self {
        self.position += 1;
        let position = self.position;
        self.when(Input::Signal { position, signal })
    }

    /// The last signal comes again.
    #[must_use]
    pub fn hears_again(self, signal: Signal) -> Self {
        let position = self.position;
        self.when(Input::Signal { position, signal })
    }

    /// A person decides.
    ///
    /// # Panics
    /// The decision is refused.
    #[must_use]
    pub fn operated(self, decision: Decision) -> Self {
        let decided = self.instance.operate(self.definition, decision, "somebody", self.now);
        let events = decided.unwrap_or_else(|refused| panic!("refused: {refused}"));
        self.with(events)
    }

    /// Asserts that a person's decision is refused.
    ///
    /// # Panics
    /// It is not, or for another reason.
    pub fn refuses(self, decision: Decision, expected: &Refused) -> Self {
        let decided = self.instance.operate(self.definition, decision, "somebody", self.now);
        assert_eq!(decided.as_ref(), Err(expected));
        self
    }

    /// Asserts that exactly these events followed since the last assertion.
    ///
    /// # Panics
    /// Others followed.
    pub fn then(mut self, expected: &[&str]) -> Self {
        let news: Vec<String> = self.news.iter().map(ToString::to_string).collect();
        assert_eq!(news, expected, "{:#?}", self.instance);
        self.news.clear();
        self
    }

    /// Asserts nothing about what followed since the last assertion.
    #[must_use]
    pub fn anyway(mut self) -> Self {
        self.news.clear();
        self
    }

    /// Asserts the status of the instance.
    ///
    /// # Panics
    /// It has another status.
    pub fn is(self, status: Status) -> Self {
        assert_eq!(self.instance.status, status, "{:#?}", self.instance);
        self
    }

    /// The instance as it is at this point of the story.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    fn with(mut self, events: Vec<SagaEvent>) -> Self {
        self.instance = events.iter().fold(self.instance, Instance::evolve);
        self.news.extend(events);
        self
    }
}
