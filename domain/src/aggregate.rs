//! What every aggregate is: decide(state, command) → events or an error, evolve(state, event) → state.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// An event type of one aggregate, with its names and versions on the outside.
pub trait DomainEvent: Serialize + Sized {
    /// The permanent type string, such as `order.placed`.
    fn event_type(&self) -> &'static str;
    /// The version of the payload's shape, from 1.
    fn schema_version(&self) -> i32;
    /// `(key, value)` labels for conditions and reads; never personal data.
    fn tags(&self) -> Vec<(&'static str, Uuid)>;
    /// Every `(type, version)` that [`DomainEvent::from_parts`] reads.
    const KNOWN: &'static [(&'static str, i32)];
    /// Reads a stored payload. `None` when the type is not one of this aggregate's.
    ///
    /// # Errors
    /// When the version is unknown or the payload has another shape.
    fn from_parts(event_type: &str, schema_version: i32, data: &str) -> Option<Result<Self, UnreadableEvent>>;
}

/// A stored event of a known type that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// Written by a newer program.
    #[error("version {version} of {event_type} is not known")]
    UnknownVersion {
        /// The type.
        event_type: String,
        /// The version found.
        version: i32,
    },
    /// The payload does not have the shape of its version.
    #[error("an event of type {event_type} does not have its shape")]
    Shape {
        /// The type.
        event_type: String,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}

/// A consistency boundary: one stream of events.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The stream category, such as `order`.
    const CATEGORY: &'static str;
    /// What it can be asked.
    type Command;
    /// What happens to it.
    type Event: DomainEvent + DeserializeOwned + Clone + Send;
    /// Why it says no.
    type Error: std::error::Error;

    /// What happens when `command` meets this state.
    ///
    /// # Errors
    /// The rule that says no.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after `event`.
    #[must_use]
    fn evolve(self, event: Self::Event) -> Self;
}
