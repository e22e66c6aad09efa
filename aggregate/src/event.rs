//! Events as an aggregate declares them: their permanent names, their versions, and how to read a
//! stored payload.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::history::Shape;

/// The payload types of an aggregate's events. [`stored_events!`](crate::stored_events) implements
/// it.
pub trait Payloads {
    /// Shows each payload type to `visitor`.
    fn visit(visitor: &impl PayloadVisitor);
}

/// Receives the payload types of events.
pub trait PayloadVisitor {
    /// Receives one payload type, with the type and version of its event.
    fn payload<P: DeserializeOwned + JsonSchema>(&self, shape: Shape);
}

/// The events of one aggregate, with their stored names and versions.
pub trait DomainEvent: listed::Listed + Serialize + Sized {
    /// The category of the aggregate's streams, such as `order`: the part before the dot in each
    /// event type. It is permanent, like the types.
    const CATEGORY: &'static str;
    /// The permanent type of the event, such as `order.placed`.
    fn event_type(&self) -> &'static str;
    /// The version of the payload's shape, counted from 1.
    fn schema_version(&self) -> i32;
    /// The event's `(key, value)` tags for append conditions and reads. They never contain personal
    /// data.
    fn tags(&self) -> Vec<(&'static str, Uuid)>;
    /// Every `(type, version)` that is written today.
    ///
    /// [`DomainEvent::from_parts`] reads only these. Older versions are upcast first.
    const KNOWN: &'static [Shape];
    /// Reads a stored payload. Returns `None` if the type is not one of this aggregate's.
    ///
    /// # Errors
    /// [`UnreadableEvent`] if the version is unknown or the payload has another shape.
    fn from_parts(
        event_type: &str,
        schema_version: i32,
        data: &str,
    ) -> Option<Result<Self, UnreadableEvent>>;
}

/// Why a stored event of a known type cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// The version is unknown: a newer program wrote the event, or an older one did and it was not
    /// upcast.
    #[error("version {version} of {event_type} is not known")]
    UnknownVersion {
        /// The event's type, such as `order.placed`.
        event_type: String,
        /// The version of the stored event.
        version: i32,
    },
    /// The payload does not have the shape of its version. The message of serde is left out,
    /// because it repeats values and these may be personal.
    #[error(
        "an event of type {event_type} does not have its shape at line {line}, column {column}"
    )]
    Shape {
        /// The event's type, such as `order.placed`.
        event_type: String,
        /// The line of the error in the payload, counted from 1.
        line: usize,
        /// The column of the error in that line, counted from 1.
        column: usize,
    },
}

/// Implements [`DomainEvent`] for an enum of payloads.
///
/// It takes one line per payload, with the permanent type and the version.
#[macro_export]
macro_rules! stored_events {
    ($event:ident { $($variant:ident($payload:ty) => $name:literal, $version:literal;)+ }) => {
        impl $crate::DomainEvent for $event {
            const CATEGORY: &'static str = $crate::private::category_of(Self::KNOWN);
            const KNOWN: &'static [$crate::Shape] = &[$(($name, $version)),+];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            #[allow(clippy::match_same_arms, reason = "each payload names its own version")]
            fn schema_version(&self) -> i32 {
                match self { $(Self::$variant(_) => $version),+ }
            }

            fn tags(&self) -> Vec<(&'static str, $crate::private::Uuid)> {
                self.labels()
            }

            fn from_parts(
                event_type: &str,
                schema_version: i32,
                data: &str,
            ) -> Option<Result<Self, $crate::UnreadableEvent>> {
                match (event_type, schema_version) {
                    $(($name, $version) => Some(
                        $crate::private::read_payload::<$payload>($name, data)
                            .map(Self::$variant),
                    ),)+
                    $(($name, version) => Some(Err(
                        $crate::UnreadableEvent::UnknownVersion {
                            event_type: $name.to_owned(),
                            version,
                        },
                    )),)+
                    _ => None,
                }
            }
        }

        // Evaluated here, so the compiler reports a wrong name at this line.
        const _: &str = <$event as $crate::DomainEvent>::CATEGORY;

        impl $crate::Payloads for $event {
            fn visit(visitor: &impl $crate::PayloadVisitor) {
                $(visitor.payload::<$payload>(($name, $version));)+
            }
        }
    };
}

/// A sealed module: only [`events_of_all_aggregates!`](crate::events_of_all_aggregates) implements
/// its trait.
#[doc(hidden)]
pub mod listed {
    /// An event enum that is in the list of all events.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not in the list of the events of all aggregates",
        label = "the log's readers would not know its types",
        note = "add it to `events_of_all_aggregates!` in your domain's lib.rs"
    )]
    pub trait Listed {}
}

/// Reads a payload. The error never contains values of the payload.
///
/// # Errors
/// [`UnreadableEvent::Shape`] if the payload does not have the shape of `P`.
#[doc(hidden)]
pub fn read_payload<P: DeserializeOwned>(
    event_type: &'static str,
    data: &str,
) -> Result<P, UnreadableEvent> {
    serde_json::from_str(data).map_err(|error| UnreadableEvent::Shape {
        event_type: event_type.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}
