//! Which events a read or an append condition asks for.

use crate::event::{EventType, RecordedEvent, Tag};

/// Matches an event that matches any of its items; without items it matches every event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EventQuery {
    /// The alternatives: an event matches when it matches one of them.
    pub items: Vec<QueryItem>,
}

/// Matches an event whose type is one of `types` (any, when empty) and that carries all of `tags`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct QueryItem {
    /// Types, alternatives.
    pub types: Vec<EventType>,
    /// Tags, all of them.
    pub tags: Vec<Tag>,
}

impl EventQuery {
    /// Whether `event_type` and `tags` match.
    pub fn matches(&self, event_type: &EventType, tags: &[Tag]) -> bool {
        self.items.is_empty() || self.items.iter().any(|item| item.matches(event_type, tags))
    }

    /// Whether a recorded event matches.
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

/// What a read of the log asks for.
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
    /// Whether a recorded event matches.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => event.stream.category() == category,
            Self::Types(types) => types.contains(&event.event_type),
            Self::Query(query) => query.matches_event(event),
        }
    }
}
