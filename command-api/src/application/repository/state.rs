//! The state of an aggregate for the event store: how events change it, and how a snapshot stores
//! it.

use domain::aggregate::{Aggregate, DomainEvent, UnreadableEvent};
use event_store::{EventType, NewEvent, RecordedEvent, StateError, StreamState};
use serde::de::Error as _;
use serde_json::value::RawValue;

use super::RepositoryError;

/// The state of an aggregate, wrapped for the event store's traits.
#[derive(Debug, Clone, Default)]
pub(super) struct State<A>(pub(super) A);

/// Why an event cannot be applied to an aggregate.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("it has type {0}, which is not one of its stream's")]
    Foreign(EventType),
    #[error("it is not of its shape")]
    Unreadable(#[source] UnreadableEvent),
}

impl<A: Aggregate> State<A> {
    /// The state after events that are about to be appended. They are read exactly as they will be
    /// read from the log.
    pub(super) fn followed_by(self, events: &[NewEvent]) -> Result<Self, ApplyError> {
        events.iter().try_fold(self, |state, event| {
            state.read(&event.event_type, event.schema_version, event.data.get())
        })
    }

    fn read(
        self,
        event_type: &EventType,
        schema_version: i32,
        data: &str,
    ) -> Result<Self, ApplyError> {
        let read = A::Event::from_parts(event_type.as_str(), schema_version, data);
        let event = read
            .ok_or_else(|| ApplyError::Foreign(event_type.clone()))?
            .map_err(ApplyError::Unreadable)?;
        Ok(Self(self.0.evolve(event)))
    }
}

impl<A: Aggregate> StreamState for State<A> {
    type Error = ApplyError;

    const SHAPE: Option<i32> = match A::SNAPSHOT {
        Some(kept) => Some(kept.shape),
        None => None,
    };

    fn apply(self, event: &RecordedEvent) -> Result<Self, ApplyError> {
        self.read(&event.event_type, event.schema_version, event.data.get())
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        let kept = A::SNAPSHOT
            .ok_or_else(|| serde_json::Error::custom("the state of this aggregate is not kept"))?;
        RawValue::from_string((kept.write)(&self.0)?)
    }

    fn read(state: &RawValue) -> Result<Self, serde_json::Error> {
        let kept = A::SNAPSHOT
            .ok_or_else(|| serde_json::Error::custom("the state of this aggregate is not kept"))?;
        (kept.read)(state.get()).map(Self)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl From<StateError<ApplyError>> for RepositoryError {
    fn from(error: StateError<ApplyError>) -> Self {
        match error {
            StateError::Store(error) => Self::Store(error),
            StateError::Unreadable(unreadable) => Self::Unknown(unreadable),
            StateError::Apply { position, source: ApplyError::Foreign(event_type) } => {
                Self::Foreign { position, event_type }
            }
            StateError::Apply { position, source: ApplyError::Unreadable(source) } => {
                Self::Unreadable { position, source }
            }
        }
    }
}
