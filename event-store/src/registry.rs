//! The event types and versions that a program reads, and the upcasting of older ones.
//!
//! The log keeps an event for ever in the version in which it was written. An *upcaster* converts
//! it to the form that is written today: a newer version of itself, the same event under another
//! name, several events (a split), or none (a type without meaning today). Upcasters run in a chain
//! until every event is current. Consequences:
//! - The fragments of a split share position, version and id of the stored event.
//!   [`RecordedEvent::fragment`] tells them apart.
//! - A query for a type is *widened* to all types that may become it before it reaches a store or a
//!   broker. The results are *narrowed* after upcasting, see [`crate::UpcastingLog`].
//! - Tags, metadata and time are those of the stored event, so a query by tag finds every fragment
//!   of it.
//!
//! An upcaster gets the whole payload and passes unknown fields on. Personal values are plain text
//! or erased at that point, never encrypted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::error::InvalidName;
use crate::event::{EventType, Position, RecordedEvent};
use crate::query::{EventQuery, Filter, QueryItem};

mod build;

/// The maximum number of events that one stored event can become.
pub const MAX_FRAGMENTS: usize = 1_000;

/// An event type and the version of its payload's shape, from 1.
pub type Shape = (&'static str, i32);

/// An upcaster: converts a payload to the type and payload of each fragment, in order. On a payload
/// of the wrong shape it returns the reason, without any value of the payload.
pub type Upcast = fn(Value) -> Result<Vec<(&'static str, Value)>, &'static str>;

/// A shape that is no longer written, the shapes that it may become, and its upcaster. It uses
/// plain types, so a crate that does not depend on this one can list them.
pub type Past = (Shape, &'static [Shape], Upcast);

/// An event type and schema version that the log holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenType {
    /// The event's type.
    pub event_type: EventType,
    /// The version of the payload's shape.
    pub schema_version: i32,
}

impl std::fmt::Display for WrittenType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.event_type, self.schema_version)
    }
}

/// Every event type and version that a program reads. See the module.
#[derive(Debug)]
pub struct Registry {
    types: HashMap<EventType, Versions>,
    /// For each current type, the stored types that may become it, including itself.
    stored_as: HashMap<EventType, BTreeSet<EventType>>,
}

/// The versions of one type.
#[derive(Debug, Default)]
struct Versions {
    /// The version that is written today; `None` when the type is no longer written.
    current: Option<i32>,
    past: BTreeMap<i32, Step>,
}

/// The upcasting step of a past shape.
#[derive(Debug)]
struct Step {
    /// The type and version of the next shapes. The name is the one that the upcaster uses.
    into: Vec<(&'static str, EventType, i32)>,
    upcast: Upcast,
}

/// An error in a registry that would leave an event unreadable.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRegistry {
    /// The text is not a valid event type.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A shape is listed twice.
    #[error("{0} v{1} is listed twice")]
    Twice(EventType, i32),
    /// A version below the newest has no upcaster, so its events would be unreadable.
    #[error("{0} v{1} has no upcaster")]
    NoUpcaster(EventType, i32),
    /// A past version is newer than the version that is written.
    #[error("{0} v{1} is listed as past but is newer than the version that is written")]
    Newer(EventType, i32),
    /// An upcaster leads to a shape that is not listed.
    #[error("{0} v{1} becomes a shape that is not listed: {2} v{3}")]
    Nowhere(EventType, i32, EventType, i32),
    /// A chain of upcasters leads back to its start.
    #[error("{0} v{1} becomes itself again")]
    Circle(EventType, i32),
}

/// A stored event that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} ({event_type} v{schema_version}) cannot be read: {why}")]
pub struct Unreadable {
    /// The position in the log.
    pub position: Position,
    /// The event's type.
    pub event_type: EventType,
    /// The schema version of the payload.
    pub schema_version: i32,
    /// The reason, without any value of the payload.
    pub why: String,
}

/// Calls an upcaster. A panic makes only this event unreadable. The panic message may hold personal
/// values, so it is not repeated.
fn upcast(upcast: Upcast, data: Value) -> Result<Vec<(&'static str, Value)>, String> {
    let done = std::panic::catch_unwind(|| upcast(data));
    done.unwrap_or(Err("its upcaster panicked")).map_err(str::to_owned)
}

impl Registry {
    /// Makes a registry of the current shapes and the past ones.
    ///
    /// # Errors
    /// [`InvalidRegistry`], when some version from 1 to a type's newest would be unreadable.
    pub fn new(
        current: impl IntoIterator<Item = Shape>,
        past: impl IntoIterator<Item = Past>,
    ) -> Result<Self, InvalidRegistry> {
        build::build(current, past)
    }

    /// Converts an event to its current form. A current event stays as it is. An older one becomes
    /// its fragments, all at the same position.
    ///
    /// An event of an unlisted type passes unchanged: its reader knows whether that matters.
    ///
    /// # Errors
    /// [`Unreadable`]: the version is not listed, or the payload does not have the shape of its
    /// version.
    pub fn upcast<'e>(
        &self,
        event: &'e RecordedEvent,
    ) -> Result<Cow<'e, [RecordedEvent]>, Unreadable> {
        let Some(versions) = self.types.get(&event.event_type) else {
            return Ok(Cow::Borrowed(std::slice::from_ref(event)));
        };
        if versions.current == Some(event.schema_version) {
            return Ok(Cow::Borrowed(std::slice::from_ref(event)));
        }
        self.fragments(event).map(Cow::Owned).map_err(|why| Unreadable {
            position: event.position,
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            why,
        })
    }

    fn fragments(&self, event: &RecordedEvent) -> Result<Vec<RecordedEvent>, String> {
        let data = serde_json::from_str(event.data.get())
            .map_err(|_| "its payload is not JSON".to_owned())?;
        let mut waiting = vec![(event.event_type.clone(), event.schema_version, data)];
        let mut fragments = Vec::new();
        while let Some((event_type, version, data)) = waiting.pop() {
            if fragments.len() + waiting.len() >= MAX_FRAGMENTS {
                return Err(format!("it becomes more than {MAX_FRAGMENTS} events"));
            }
            let versions = self.types.get(&event_type);
            if versions.is_some_and(|known| known.current == Some(version)) {
                let data =
                    serde_json::value::to_raw_value(&data).map_err(|error| error.to_string())?;
                let fragment = u32::try_from(fragments.len()).unwrap_or(u32::MAX);
                fragments.push(RecordedEvent {
                    event_type,
                    schema_version: version,
                    data,
                    fragment,
                    ..event.clone()
                });
                continue;
            }
            let step = versions.and_then(|known| known.past.get(&version));
            let step =
                step.ok_or_else(|| format!("version {version} of {event_type} is not known"))?;
            // `waiting` is a stack, so the fragments go onto it in reverse order.
            for (name, data) in upcast(step.upcast, data)?.into_iter().rev() {
                let next = step.into.iter().find(|(declared, ..)| *declared == name);
                let (_, event_type, version) = next.ok_or_else(|| {
                    format!("its upcaster makes {name} of it, which is not declared")
                })?;
                waiting.push((event_type.clone(), *version, data));
            }
        }
        Ok(fragments)
    }

    /// Returns the stored types that may become one of these types, to query a store or broker. An
    /// unlisted type is returned as it is.
    pub fn widen_types(&self, types: &[EventType]) -> Vec<EventType> {
        let mut widened = BTreeSet::new();
        for event_type in types {
            match self.stored_as.get(event_type) {
                Some(stored) => widened.extend(stored.iter().cloned()),
                // A past type that is no longer written: nothing becomes it.
                None if self.types.contains_key(event_type) => {}
                None => {
                    widened.insert(event_type.clone());
                }
            }
        }
        widened.into_iter().collect()
    }

    /// Widens a query to all stored events that may become a match.
    pub fn widen_query(&self, query: &EventQuery) -> EventQuery {
        let items = query
            .items
            .iter()
            .map(|item| QueryItem { types: self.widen_item(&item.types), tags: item.tags.clone() });
        EventQuery { items: items.collect() }
    }

    /// Widens the types of one item. An empty list would mean any type, so an item with only
    /// retired types keeps them; narrowing then removes every result.
    fn widen_item(&self, types: &[EventType]) -> Vec<EventType> {
        let widened = self.widen_types(types);
        if widened.is_empty() { types.to_vec() } else { widened }
    }

    /// Widens a filter to all stored events that may become a match.
    pub fn widen(&self, filter: &Filter) -> Filter {
        match filter {
            Filter::All => Filter::All,
            Filter::Category(category) => Filter::Category(category.clone()),
            Filter::Types(types) => Filter::Types(self.widen_types(types)),
            Filter::Query(query) => Filter::Query(self.widen_query(query)),
        }
    }

    /// Whether upcasting changes nothing, so nothing needs widening or narrowing.
    pub fn is_plain(&self) -> bool {
        self.types.values().all(|versions| versions.past.is_empty())
    }

    /// Returns those of the types and versions in the log that this program cannot read.
    pub fn unreadable(&self, written: Vec<WrittenType>) -> Vec<WrittenType> {
        let readable = |written: &WrittenType| {
            self.types.get(&written.event_type).is_some_and(|versions| {
                versions.current == Some(written.schema_version)
                    || versions.past.contains_key(&written.schema_version)
            })
        };
        written
            .into_iter()
            .filter(|written| !written.event_type.closes_stream() && !readable(written))
            .collect()
    }
}
