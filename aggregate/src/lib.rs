//! What every aggregate is: decide(state, command) → events or an error, evolve(state, event) →
//! state.
//!
//! This library is for rules without a database: no clock, no I/O, no async, and no word of any
//! business. A domain declares its events with [`stored_events!`], lists them with
//! [`events_of_all_aggregates!`], and implements [`Aggregate`]. Its tests use [`scenario`] (given,
//! when, then) and [`golden`] (what was written once can be read for ever).

mod category;
mod event;
pub mod golden;
pub mod history;
pub mod scenario;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use event::{DomainEvent, UnreadableEvent};
pub use history::{Past, Shape, Upcast};

/// For the macros of this library alone.
#[doc(hidden)]
pub mod private {
    pub use uuid::Uuid;

    pub use crate::category::category_of;
    pub use crate::event::{listed, read_payload};
}

/// A consistency boundary: one stream of events, in the category of [`DomainEvent::CATEGORY`].
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// What it can be asked.
    type Command;
    /// What happens to it.
    type Event: DomainEvent + DeserializeOwned + Clone + Send;
    /// Why it says no.
    type Error: std::error::Error;

    /// How its state is kept between commands, in memory and as snapshots. `None`, as by default:
    /// it is worked out from its events each time. Personal data in it are erased with a person's
    /// key wherever they are kept.
    const SNAPSHOT: Option<SnapshotCodec<Self>> = None;

    /// About how many bytes its state holds on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// What happens when `command` meets this state.
    ///
    /// # Errors
    /// The rule that says no.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after `event`.
    #[must_use]
    fn evolve(self, event: Self::Event) -> Self;
}

/// How an aggregate's state is written and read.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotCodec<A> {
    /// The version of the state's shape and of what works it out: raised when either changes, or an
    /// upcaster of its events.
    pub shape: i32,
    /// The state as JSON.
    pub write: fn(&A) -> Result<String, serde_json::Error>,
    /// The state of such a JSON.
    pub read: fn(&str) -> Result<A, serde_json::Error>,
}

impl<A: Serialize + DeserializeOwned> SnapshotCodec<A> {
    /// States in the JSON that serde makes of them.
    pub const fn with_shape(shape: i32) -> Self {
        Self {
            shape,
            write: |state| serde_json::to_string(state),
            read: |text| serde_json::from_str(text),
        }
    }
}
