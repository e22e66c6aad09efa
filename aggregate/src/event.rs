//! Events as an aggregate declares them: permanent names, versions of shapes, and how a stored
//! payload is read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::history::Shape;

/// An event type of one aggregate, with its names and versions on the outside.
pub trait DomainEvent: listed::Listed + Serialize + Sized {
    /// The category of the aggregate's streams, such as `order`: what precedes the dot in the type
    /// of each of its events. Permanent, as the types are.
    const CATEGORY: &'static str;
    /// The permanent type string, such as `order.placed`.
    fn event_type(&self) -> &'static str;
    /// The version of the payload's shape, from 1.
    fn schema_version(&self) -> i32;
    /// `(key, value)` labels for conditions and reads; never personal data.
    fn tags(&self) -> Vec<(&'static str, Uuid)>;
    /// Every `(type, version)` that is written, which are all that [`DomainEvent::from_parts`]
    /// reads: former versions are upcast first.
    const KNOWN: &'static [Shape];
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
        /// The event's type, such as `order.placed`.
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
        /// The event's type, such as `order.placed`.
        event_type: String,
        /// Where in the payload, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
}

/// Implements [`DomainEvent`] for an enum of payloads: one line a payload with its permanent name
/// and version.
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

        // Worked out here, so that a wrong name is an error of this very line.
        const _: &str = <$event as $crate::DomainEvent>::CATEGORY;

        #[cfg(test)]
        impl $crate::golden::Shaped for $event {
            fn check_shapes(goldens: &$crate::golden::Goldens) {
                $(goldens.check_shape::<$payload>(($name, $version));)+
            }
        }
    };
}

/// Lists the events of every aggregate, so that readers of the log know them: one line each. An
/// event that is not in the list is no [`DomainEvent`].
#[macro_export]
macro_rules! events_of_all_aggregates {
    ($($event:ty,)+) => {
        $(impl $crate::private::listed::Listed for $event {})+

        /// The shapes in which the events of each aggregate are written today.
        pub(crate) const EVENTS: &[&[$crate::Shape]] =
            &[$(<$event as $crate::DomainEvent>::KNOWN),+];

        #[cfg(test)]
        pub(crate) fn check_golden_files(goldens: &$crate::golden::Goldens) {
            $(goldens.check_event::<$event>();)+
        }
    };
}

/// Only the list of all events implements what is in here.
#[doc(hidden)]
pub mod listed {
    /// An event that is in the list of all events.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not in the list of the events of all aggregates",
        label = "the log's readers would not know its types",
        note = "add it to `events_of_all_aggregates!` in your domain's lib.rs"
    )]
    pub trait Listed {}
}

/// Reads a payload, and says nothing of its values when it cannot.
///
/// # Errors
/// [`UnreadableEvent::Shape`].
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
