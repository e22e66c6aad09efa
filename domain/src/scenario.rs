//! Given what happened, when a command comes, then these events follow (or this error does): tests
//! of aggregates without a store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fmt::Debug;

use serde_json::Value;

use crate::aggregate::{Aggregate, DomainEvent};

/// A history, then a command.
pub(crate) struct Scenario<A: Aggregate> {
    state: A,
    outcome: Option<Result<Vec<A::Event>, A::Error>>,
}

/// Starts from the state that `history` leads to.
pub(crate) fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Scenario<A> {
    Scenario { state: history.into_iter().fold(A::default(), A::evolve), outcome: None }
}

impl<A: Aggregate> Scenario<A> {
    /// The command comes.
    pub(crate) fn when(mut self, command: A::Command) -> Self {
        self.outcome = Some(self.state.decide(command));
        self
    }

    /// Exactly these events follow.
    pub(crate) fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        let events = self.outcome.expect("`when` comes first").expect("the command was refused");
        assert_eq!(shown(events), shown(expected));
    }

    /// The command is refused for this reason.
    pub(crate) fn then_error(self, expected: &A::Error)
    where
        A::Error: PartialEq + Debug,
    {
        match self.outcome.expect("`when` comes first") {
            Err(error) => assert_eq!(error, *expected),
            Ok(events) => panic!("accepted, with {:?}", shown(events)),
        }
    }
}

fn shown<E: DomainEvent>(events: impl IntoIterator<Item = E>) -> Vec<(&'static str, Value)> {
    events
        .into_iter()
        .map(|event| (event.event_type(), serde_json::to_value(&event).unwrap()))
        .collect()
}
