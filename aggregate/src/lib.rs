//! The interface of every aggregate: decide(state, command) → events or an error, and evolve(state,
//! event) → state.
//!
//! This library is for rules without a database. It has no clock, no I/O, no async, and no word of
//! any business. A domain declares its events with [`stored_events!`], lists them with
//! [`events_of_all_aggregates!`], and implements [`Aggregate`]. Its tests use [`scenario`] (given,
//! when, then), [`golden`] (every event ever written stays readable) and [`schema`] (no change
//! breaks a reader elsewhere).

mod all_events;
mod category;
mod event;
pub mod golden;
pub mod history;
pub mod scenario;
pub mod schema;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use event::{DomainEvent, PayloadVisitor, Payloads, UnreadableEvent};
pub use history::{Past, Shape, Upcast};
pub use schema::EventSchema;

/// Items for the macros of this library only.
#[doc(hidden)]
pub mod private {
    pub use uuid::Uuid;

    pub use crate::category::category_of;
    pub use crate::event::{listed, read_payload};
}

/// A consistency boundary: one stream of events in the category [`DomainEvent::CATEGORY`].
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The commands of the aggregate.
    type Command;
    /// The events of the aggregate.
    type Event: DomainEvent + DeserializeOwned + Clone + Send;
    /// The reasons to refuse a command.
    type Error: std::error::Error;

    /// How the state is stored between commands, in memory and as snapshots.
    ///
    /// With `None`, the default, the state is rebuilt from its events each time. Erasing a person's
    /// key also erases that person's data in stored states.
    const SNAPSHOT: Option<SnapshotCodec<Self>> = None;

    /// The approximate heap size of the state, in bytes.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Decides which events follow from `command` in this state.
    ///
    /// # Errors
    /// The rule that refuses the command.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after `event`.
    #[must_use]
    fn evolve(self, event: Self::Event) -> Self;
}

/// How to write and read the state of an aggregate.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotCodec<A> {
    /// The version of the state. Raise it when the state's shape, `evolve` or an upcaster of its
    /// events changes.
    pub shape: i32,
    /// Writes the state as JSON.
    pub write: fn(&A) -> Result<String, serde_json::Error>,
    /// Reads the state from such JSON.
    pub read: fn(&str) -> Result<A, serde_json::Error>,
}

impl<A: Serialize + DeserializeOwned> SnapshotCodec<A> {
    /// A codec that writes and reads the state with serde, in version `shape`.
    pub const fn with_shape(shape: i32) -> Self {
        Self {
            shape,
            write: |state| serde_json::to_string(state),
            read: |text| serde_json::from_str(text),
        }
    }
}
