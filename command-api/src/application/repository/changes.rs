//! Converts the changes of a command to an append for the store.

use std::collections::HashMap;

use domain::aggregate::{Aggregate, DomainEvent};
use event_store::{
    Append, AppendCondition, EventQuery, ExpectedVersion, InvalidName, Metadata, NewEvent,
    QueryItem, ReservationChange, StreamAppend, StreamName, Tag,
};
use uuid::Uuid;

use super::line::Leaves;
use super::{Loaded, RepositoryError};

/// The changes of a command: events of its target and of aggregates that change with it, conditions
/// on other aggregates, and unique values to reserve or release.
#[derive(Debug)]
pub struct Changes {
    id: Uuid,
    pub(super) append: Append,
    /// The states in which the append leaves the streams that it changes.
    pub(super) leaves: HashMap<StreamName, Leaves>,
}

impl Changes {
    /// Changes with these events of the command's target, a loaded aggregate. The append is refused
    /// if the aggregate has changed since it was loaded.
    ///
    /// # Errors
    /// [`RepositoryError::Encode`], [`RepositoryError::Name`].
    pub fn to<A: Aggregate>(
        loaded: &Loaded<A>,
        events: &[A::Event],
        metadata: &Metadata,
    ) -> Result<Self, RepositoryError> {
        let changes = Self { id: loaded.id, append: Append::default(), leaves: HashMap::default() };
        changes.with(loaded, events, metadata)
    }

    /// Adds events of another aggregate, which happen together with the others or not at all. The
    /// append is refused if that aggregate has changed since it was loaded. Without events, nothing
    /// is added.
    ///
    /// # Errors
    /// [`RepositoryError::Encode`], [`RepositoryError::Name`].
    pub fn and<A: Aggregate>(
        self,
        other: &Loaded<A>,
        events: &[A::Event],
        metadata: &Metadata,
    ) -> Result<Self, RepositoryError> {
        if events.is_empty() { Ok(self) } else { self.with(other, events, metadata) }
    }

    /// Adds events of another aggregate like [`Changes::and`], whatever else happens to it until
    /// the append. It is for events that hold in any sequence.
    ///
    /// # Errors
    /// [`RepositoryError::Encode`], [`RepositoryError::Name`].
    pub fn and_at_any_version<A: Aggregate>(
        self,
        other: &Loaded<A>,
        events: &[A::Event],
        metadata: &Metadata,
    ) -> Result<Self, RepositoryError> {
        let mut changes = self.and(other, events, metadata)?;
        let stream = stream_of::<A>(other.id)?;
        for added in changes.append.streams.iter_mut().filter(|added| added.stream == stream) {
            added.expected = ExpectedVersion::Any;
            // Other events may come between the loaded state and these.
            changes.leaves.insert(stream.clone(), Leaves::Unknown);
        }
        Ok(changes)
    }

    fn with<A: Aggregate>(
        mut self,
        loaded: &Loaded<A>,
        events: &[A::Event],
        metadata: &Metadata,
    ) -> Result<Self, RepositoryError> {
        let events =
            events.iter().map(|event| new_event(event, metadata)).collect::<Result<Vec<_>, _>>()?;
        for leaves in self.leaves.values_mut() {
            leaves.precede(events.len());
        }
        let stream = stream_of::<A>(loaded.id)?;
        self.leaves.insert(stream.clone(), loaded.leaves(&events));
        let expected = loaded.expected();
        self.append.streams.push(StreamAppend { stream, expected, events });
        Ok(self)
    }

    /// The stream of the command's target: the first one.
    pub fn target(&self) -> Option<&StreamName> {
        self.append.streams.first().map(|target| &target.stream)
    }

    /// Adds a condition: no event of this type has happened to `other` since it was loaded.
    ///
    /// # Errors
    /// [`RepositoryError::Name`] if a name is invalid.
    pub fn unless<A: Aggregate>(
        mut self,
        event_type: &str,
        other: &Loaded<A>,
    ) -> Result<Self, RepositoryError> {
        let item = QueryItem {
            types: vec![event_type.parse()?],
            tags: vec![Tag::new(A::Event::CATEGORY, other.id)?],
        };
        self.append
            .conditions
            .push(AppendCondition { query: EventQuery { items: vec![item] }, after: other.seen });
        Ok(self)
    }

    /// Adds unique values to reserve or release.
    #[must_use]
    pub fn reserving(mut self, reservations: impl IntoIterator<Item = ReservationChange>) -> Self {
        self.append.reservations.extend(reservations);
        self
    }

    /// All events, each with the stream that it is appended to.
    pub fn events(&self) -> impl Iterator<Item = (&StreamName, &NewEvent)> {
        self.append
            .streams
            .iter()
            .flat_map(|stream| stream.events.iter().map(move |event| (&stream.stream, event)))
    }

    /// What the store is to append.
    pub(crate) fn into_append(self) -> Append {
        self.append
    }

    /// The id of the changed aggregate.
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

/// The stream of an aggregate.
///
/// # Errors
/// [`InvalidName`] if the aggregate's category is not a valid name.
pub fn stream_of<A: Aggregate>(id: Uuid) -> Result<StreamName, InvalidName> {
    StreamName::new(A::Event::CATEGORY, id)
}

fn new_event<E: DomainEvent>(event: &E, metadata: &Metadata) -> Result<NewEvent, RepositoryError> {
    let new = NewEvent::json(
        event.event_type().parse()?,
        event.schema_version(),
        event,
        metadata.clone(),
    )?;
    event
        .tags()
        .into_iter()
        .try_fold(new, |new, (key, value)| Ok(new.tagged(Tag::new(key, value)?)))
}
