//! Which event types and versions a program reads, and what an older one stands for now.
//!
//! An event is stored for ever in the version in which it was written. An *upcaster* makes of it
//! what is written today: a newer version of itself, the same under another name, several events (a
//! split), or none (a type that no longer means anything). Upcasters are chained until everything
//! is current. Consequences, and where they are kept:
//! - the fragments of a split share position, version and id of the stored event;
//!   [`RecordedEvent::fragment`] tells them apart;
//! - a query for a type is *widened* to all that may become it before it reaches a store or a
//!   broker, and what comes back is *narrowed* after upcasting, see [`crate::UpcastingLog`];
//! - tags, metadata and time are those of the stored event, so that a query by tag finds every
//!   fragment of it.
//!
//! An upcaster gets the whole payload and hands on what it does not know. Personal values are plain
//! or erased there, never encrypted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::error::InvalidName;
use crate::event::{EventType, Position, RecordedEvent};
use crate::query::{EventQuery, Filter, QueryItem};

mod build;

/// The most events that one stored event can become.
pub const MAX_FRAGMENTS: usize = 1_000;

/// An event type and the version of its payload's shape, from 1.
pub type Shape = (&'static str, i32);

/// What a payload of an older shape has become: the type and the payload of each fragment, in
/// order; or why it is none of that shape, in words without any value of it.
pub type Upcast = fn(Value) -> Result<Vec<(&'static str, Value)>, &'static str>;

/// A shape that is no longer written, the shapes that it may become, and how. In plain types, so
/// that a crate that knows nothing of this one can list them.
pub type Past = (Shape, &'static [Shape], Upcast);

/// A type and a version that the log holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenType {
    /// What happened.
    pub event_type: EventType,
    /// The version of the payload's shape.
    pub schema_version: i32,
}

impl std::fmt::Display for WrittenType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.event_type, self.schema_version)
    }
}

/// Every type and version that a program reads. See the module.
#[derive(Debug)]
pub struct Registry {
    types: HashMap<EventType, Versions>,
    /// Of each current type: the stored types that may become it, itself among them.
    stored_as: HashMap<EventType, BTreeSet<EventType>>,
}

/// The versions of one type.
#[derive(Debug, Default)]
struct Versions {
    /// The one that is written; none when the type is no longer.
    current: Option<i32>,
    past: BTreeMap<i32, Step>,
}

/// What a past shape becomes.
#[derive(Debug)]
struct Step {
    /// Type and version of the next shapes, as the upcaster names the type.
    into: Vec<(&'static str, EventType, i32)>,
    upcast: Upcast,
}

/// A registry that would leave an event unreadable.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRegistry {
    /// A type is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A shape is listed twice.
    #[error("{0} v{1} is listed twice")]
    Twice(EventType, i32),
    /// A version below the newest has no upcaster, so that its events would be unreadable.
    #[error("{0} v{1} has no upcaster")]
    NoUpcaster(EventType, i32),
    /// A past version is above the one that is written.
    #[error("{0} v{1} is listed as past and is newer than the version that is written")]
    Newer(EventType, i32),
    /// An upcaster leads to a shape that is not listed.
    #[error("{0} v{1} becomes a shape that is not listed: {2} v{3}")]
    Nowhere(EventType, i32, EventType, i32),
    /// Upcasters lead back to where they began.
    #[error("{0} v{1} becomes itself again")]
    Circle(EventType, i32),
}

/// A stored event that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} ({event_type} v{schema_version}) cannot be read: {why}")]
pub struct Unreadable {
    /// The position in the log.
    pub position: Position,
    /// Its type.
    pub event_type: EventType,
    /// Its version.
    pub schema_version: i32,
    /// Why, without any value of the payload.
    pub why: String,
}

/// Calls an upcaster. One that panics says of its event alone that it cannot be read; its message
/// may hold values and is not repeated.
fn upcast(upcast: Upcast, data: Value) -> Result<Vec<(&'static str, Value)>, String> {
    let done = std::panic::catch_unwind(|| upcast(data));
    done.unwrap_or(Err("its upcaster panicked")).map_err(str::to_owned)
}

impl Registry {
    /// A registry of the shapes that are written and of those that were.
    ///
    /// # Errors
    /// [`InvalidRegistry`], when some version from 1 to a type's newest would be unreadable.
    pub fn new(
        current: impl IntoIterator<Item = Shape>,
        past: impl IntoIterator<Item = Past>,
    ) -> Result<Self, InvalidRegistry> {
        build::build(current, past)
    }

    /// The event as it is written today: itself when it is current, else what it has become, all
    /// fragments under its one position.
    ///
    /// An event of a type that is not listed is handed on as it is: whoever reads it knows whether
    /// that matters.
    ///
    /// # Errors
    /// [`Unreadable`]: a version that is not listed, or a payload that is none of its version.
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
            // Waiting is a stack: the first fragment goes on top.
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

    /// The stored types that may become one of these: what to ask a store or a broker for. A type
    /// that is not listed stands for itself.
    pub fn widen_types(&self, types: &[EventType]) -> Vec<EventType> {
        let mut widened = BTreeSet::new();
        for event_type in types {
            match self.stored_as.get(event_type) {
                Some(stored) => widened.extend(stored.iter().cloned()),
                // A type that was and is no longer: nothing becomes it.
                None if self.types.contains_key(event_type) => {}
                None => {
                    widened.insert(event_type.clone());
                }
            }
        }
        widened.into_iter().collect()
    }

    /// A query for what may become an event that matches `query`.
    pub fn widen_query(&self, query: &EventQuery) -> EventQuery {
        let items = query
            .items
            .iter()
            .map(|item| QueryItem { types: self.widen_item(&item.types), tags: item.tags.clone() });
        EventQuery { items: items.collect() }
    }

    /// No types means any type, so an item all of whose types are gone asks for those instead, and
    /// is narrowed to nothing.
    fn widen_item(&self, types: &[EventType]) -> Vec<EventType> {
        let widened = self.widen_types(types);
        if widened.is_empty() { types.to_vec() } else { widened }
    }

    /// A filter for what may become an event that matches `filter`.
    pub fn widen(&self, filter: &Filter) -> Filter {
        match filter {
            Filter::All => Filter::All,
            Filter::Category(category) => Filter::Category(category.clone()),
            Filter::Types(types) => Filter::Types(self.widen_types(types)),
            Filter::Query(query) => Filter::Query(self.widen_query(query)),
        }
    }

    /// Whether every stored event is what it was written as: nothing needs to be widened or
    /// narrowed.
    pub fn is_plain(&self) -> bool {
        self.types.values().all(|versions| versions.past.is_empty())
    }

    /// Of what the log holds, the types and versions that this program cannot read.
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
