//! What every aggregate is: decide(state, command) → events or an error, evolve(state, event) →
//! state.

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
    /// Every `(type, version)` that is written, which are all that [`DomainEvent::from_parts`]
    /// reads: former versions are upcast first.
    const KNOWN: &'static [(&'static str, i32)];
    /// Reads a stored payload. `None` when the type is not one of this aggregate's.
    ///
    /// # Errors
    /// When the version is unknown or the payload has another shape.
    fn from_parts(
        event_type: &str,
        schema_version: i32,
        data: &str,
    ) -> Option<Result<Self, UnreadableEvent>>;
}

/// A stored event of a known type that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// Written by a newer program, or by an older one and not upcast.
    #[error("version {version} of {event_type} is not known")]
    UnknownVersion {
        /// The type.
        event_type: String,
        /// The version found.
        version: i32,
    },
    /// The payload does not have the shape of its version. What serde says is left out: it repeats
    /// values, which may be personal.
    #[error(
        "an event of type {event_type} does not have its shape at line {line}, column {column}"
    )]
    Shape {
        /// The type.
        event_type: String,
        /// Where in the payload, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
}

/// Implements [`DomainEvent`] for an enum of payloads: one line a payload with its permanent name
/// and version.
macro_rules! stored_events {
    ($event:ident { $($variant:ident($payload:ty) => $name:literal, $version:literal;)+ }) => {
        impl $crate::aggregate::DomainEvent for $event {
            const KNOWN: &'static [(&'static str, i32)] = &[$(($name, $version)),+];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            #[allow(clippy::match_same_arms, reason = "each payload names its own version")]
            fn schema_version(&self) -> i32 {
                match self { $(Self::$variant(_) => $version),+ }
            }

            fn tags(&self) -> Vec<(&'static str, uuid::Uuid)> {
                self.labels()
            }

            fn from_parts(
                event_type: &str,
                schema_version: i32,
                data: &str,
            ) -> Option<Result<Self, $crate::aggregate::UnreadableEvent>> {
                match (event_type, schema_version) {
                    $(($name, $version) => Some(
                        $crate::aggregate::read_payload::<$payload>($name, data)
                            .map(Self::$variant),
                    ),)+
                    $(($name, version) => Some(Err(
                        $crate::aggregate::UnreadableEvent::UnknownVersion {
                            event_type: $name.to_owned(),
                            version,
                        },
                    )),)+
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        impl $crate::golden::Shaped for $event {
            fn check_shapes() {
                $($crate::golden::check_shape::<$payload>(($name, $version));)+
            }
        }
    };
}
pub(crate) use stored_events;

pub(crate) fn read_payload<P: DeserializeOwned>(
    event_type: &'static str,
    data: &str,
) -> Result<P, UnreadableEvent> {
    serde_json::from_str(data).map_err(|error| UnreadableEvent::Shape {
        event_type: event_type.to_owned(),
        line: error.line(),
        column: error.column(),
    })
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
