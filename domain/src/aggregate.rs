//! What every aggregate is: decide(state, command) → events or an error, evolve(state, event) →
//! state.

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
            const CATEGORY: &'static str = $crate::aggregate::category_of(Self::KNOWN);
            const KNOWN: &'static [$crate::history::Shape] = &[$(($name, $version)),+];

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

        // Worked out here, so that a wrong name is an error of this very line.
        const _: &str = <$event as $crate::aggregate::DomainEvent>::CATEGORY;

        #[cfg(test)]
        impl $crate::golden::Shaped for $event {
            fn check_shapes() {
                $($crate::golden::check_shape::<$payload>(($name, $version));)+
            }
        }
    };
}
pub(crate) use stored_events;

/// Lists the events of every aggregate, for whoever reads the log: one line each. An event that is
/// not in the list is no [`DomainEvent`].
macro_rules! events_of_all_aggregates {
    ($($event:ty,)+) => {
        $(impl $crate::aggregate::listed::Listed for $event {})+

        /// The shapes in which the events of each aggregate are written today.
        pub(crate) const EVENTS: &[&[$crate::history::Shape]] =
            &[$(<$event as $crate::aggregate::DomainEvent>::KNOWN),+];

        #[cfg(test)]
        pub(crate) fn check_golden_files() {
            $($crate::golden::check::<$event>();)+
        }
    };
}
pub(crate) use events_of_all_aggregates;

/// Closed to other crates: only the list of all events implements it.
pub(crate) mod listed {
    /// An event that is in the list of all events.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not in the list of the events of all aggregates",
        label = "the log's readers would not know its types",
        note = "add it to `events_of_all_aggregates!` in domain/src/lib.rs"
    )]
    pub trait Listed {}
}

/// The category that all these types share. A wrong type is an error of the compiler's: categories
/// and types are permanent once an event is stored.
pub(crate) const fn category_of(known: &[Shape]) -> &'static str {
    let [(first, _), ..] = known else { panic!("an aggregate has events") };
    let (category, _) = split_type(first);
    let mut rest = known;
    while let [(event_type, version), others @ ..] = rest {
        assert!(*version >= 1, "versions of a payload's shape count from 1");
        assert!(
            is_same(split_type(event_type).0, category),
            "all events of an aggregate are of one category: what precedes the dot in their types"
        );
        rest = others;
    }
    category
}

/// A type's category, and what happened.
const fn split_type(event_type: &'static str) -> (&'static str, &'static str) {
    let (bytes, mut dot) = (event_type.as_bytes(), 0);
    while dot < bytes.len() && bytes[dot] != b'.' {
        dot += 1;
    }
    assert!(dot < bytes.len(), "a type is a category, a dot and what happened: `order.placed`");
    let (category, what) = event_type.split_at(dot);
    let (_, what) = what.split_at(1);
    assert!(
        is_name(category.as_bytes()) && is_name(what.as_bytes()),
        "both parts of a type match [a-z][a-z0-9_]* and have at most 64 bytes: no hyphen, no \
         capital"
    );
    (category, what)
}

/// As `event_store::stream::is_category` has it.
const fn is_name(mut text: &[u8]) -> bool {
    if !matches!(text, [b'a'..=b'z', ..]) || text.len() > 64 {
        return false;
    }
    while let [byte, rest @ ..] = text {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        text = rest;
    }
    true
}

const fn is_same(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let ([x, rest_of_a @ ..], [y, rest_of_b @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (rest_of_a, rest_of_b);
    }
    a.is_empty() && b.is_empty()
}

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

#[cfg(test)]
mod tests {
    use super::category_of;

    #[test]
    fn a_category_is_what_precedes_the_dot_in_every_type() {
        assert_eq!(category_of(&[("order.placed", 1), ("order.line_added", 2)]), "order");
    }

    #[test]
    fn types_that_the_log_would_keep_under_a_wrong_name_do_not_compile() {
        let wrong: [&'static [(&'static str, i32)]; 9] = [
            &[],
            &[("placed", 1)],
            &[("gift-card.issued", 1)],
            &[("giftCard.issued", 1)],
            &[("gift_card.is.sued", 1)],
            &[(".issued", 1)],
            &[("gift_card.", 1)],
            &[("gift_card.issued", 0)],
            &[("gift_card.issued", 1), ("giftcard.used", 1)],
        ];
        for known in wrong {
            assert!(std::panic::catch_unwind(|| category_of(known)).is_err(), "{known:?}");
        }
    }
}
