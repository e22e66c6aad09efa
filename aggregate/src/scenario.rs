//! Tests of aggregates without a store: given past events, when a command arrives, then these
//! events or this error follow.
//!
//! ```
//! # use aggregate::scenario::given;
//! # mod lamp {
//! #     use aggregate::{Aggregate, stored_events, events_of_all_aggregates};
//! #     use schemars::JsonSchema;
//! #     use serde::{Deserialize, Serialize};
//! #     #[derive(Clone, Default)]
//! #     pub struct Lamp { pub lit: bool }
//! #     #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! #     pub struct LampLit {}
//! #     #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! #     #[serde(untagged)]
//! #     pub enum LampEvent { Lit(LampLit) }
//! #     impl LampEvent {
//! #         fn labels(&self) -> Vec<(&'static str, uuid::Uuid)> { Vec::new() }
//! #     }
//! #     stored_events!(LampEvent { Lit(LampLit) => "lamp.lit", 1; });
//! #     events_of_all_aggregates! { LampEvent, }
//! #     pub enum LampCommand { Light }
//! #     #[derive(Debug, PartialEq, thiserror::Error)]
//! #     pub enum LampError { #[error("the lamp is lit already")] LitAlready }
//! #     impl Aggregate for Lamp {
//! #         type Command = LampCommand;
//! #         type Event = LampEvent;
//! #         type Error = LampError;
//! #         fn decide(&self, _: LampCommand) -> Result<Vec<LampEvent>, LampError> {
//! #             if self.lit { return Err(LampError::LitAlready) }
//! #             Ok(vec![LampEvent::Lit(LampLit {})])
//! #         }
//! #         fn evolve(self, _: LampEvent) -> Self { Self { lit: true } }
//! #     }
//! # }
//! # use lamp::*;
//! let lit = || LampEvent::Lit(LampLit {});
//! given::<Lamp>([]).when(LampCommand::Light).then([lit()]);
//! given::<Lamp>([lit()]).when(LampCommand::Light).then_error(&LampError::LitAlready);
//! ```

#![allow(clippy::panic, reason = "it fails tests")]

use std::fmt::Debug;

use serde_json::Value;

use crate::{Aggregate, DomainEvent};

/// An aggregate with the history that a test gives it.
#[must_use]
pub struct Given<A> {
    state: A,
}

/// The result of a command: new events or an error.
#[must_use]
pub struct Outcome<A: Aggregate>(Result<Vec<A::Event>, A::Error>);

/// Starts a test from the state that `history` leads to.
pub fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given { state: history.into_iter().fold(A::default(), A::evolve) }
}

impl<A: Aggregate> Given<A> {
    /// Runs the command on the given state.
    pub fn when(self, command: A::Command) -> Outcome<A> {
        Outcome(self.state.decide(command))
    }
}

impl<A: Aggregate> Outcome<A> {
    /// Asserts that exactly these events follow.
    ///
    /// # Panics
    /// Other events follow, or the command is refused.
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        match self.0 {
            Ok(events) => assert_eq!(shown(events), shown(expected)),
            Err(error) => panic!("the command was refused: {error}"),
        }
    }

    /// Asserts that the command is refused with this error.
    ///
    /// # Panics
    /// The command is accepted, or refused with another error.
    pub fn then_error(self, expected: &A::Error)
    where
        A::Error: PartialEq + Debug,
    {
        match self.0 {
            Err(error) => assert_eq!(error, *expected),
            Ok(events) => panic!("accepted, with {:?}", shown(events)),
        }
    }
}

/// Events in their stored form, so the event types need no `PartialEq`.
fn shown<E: DomainEvent>(events: impl IntoIterator<Item = E>) -> Vec<(&'static str, Value)> {
    let shown = |event: E| {
        let data = serde_json::to_value(&event);
        (event.event_type(), data.unwrap_or_else(|error| panic!("cannot be written: {error}")))
    };
    events.into_iter().map(shown).collect()
}
