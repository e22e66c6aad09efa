//! Queries over event types and tags, for reads and append conditions.

use crate::event::{EventType, RecordedEvent, Tag};

/// A query that matches an event if any of its items does. Without items it matches every event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EventQuery {
    /// The alternatives: an event must match at least one of them.
    pub items: Vec<QueryItem>,
}

/// One alternative of a query. An event matches if its type is one of `types` (any type if empty)
/// and it carries all of `tags`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct QueryItem {
    /// The accepted types; empty means any type.
    pub types: Vec<EventType>,
    /// The tags that an event must carry, all of them.
    pub tags: Vec<Tag>,
}

impl EventQuery {
    /// Whether an event with this type and these tags matches.
    pub fn matches(&self, event_type: &EventType, tags: &[Tag]) -> bool {
        self.items.is_empty() || self.items.iter().any(|item| item.matches(event_type, tags))
    }

    /// Whether a recorded event matches the query.
    pub fn matches_event(&self, event: &RecordedEvent) -> bool {
        self.matches(&event.event_type, &event.tags)
    }
}

impl QueryItem {
    fn matches(&self, event_type: &EventType, tags: &[Tag]) -> bool {
        (self.types.is_empty() || self.types.contains(event_type))
            && self.tags.iter().all(|t| tags.contains(t))
    }
}

/// The filter of a read of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// Every event.
    #[default]
    All,
    /// Events of streams of one category.
    Category(String),
    /// Events of any of these types.
    Types(Vec<EventType>),
    /// Events that match a query over types and tags.
    Query(EventQuery),
}

impl Filter {
    /// Whether a recorded event passes the filter.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => event.stream.category() == category,
            Self::Types(types) => types.contains(&event.event_type),
            Self::Query(query) => query.matches_event(event),
        }
    }
}
