//! States ahead of the log: what a stream becomes once its pending events are appended. A command
//! decided on such a state requires the last of those events ([`ExpectedVersion::Behind`]), so it
//! never builds on an event that was refused.

use super::{Current, StateLoader, StreamState};
use crate::encryption::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, NewEvent};
use crate::stream::{ExpectedVersion, StreamName, Version};

impl<S> Current<S> {
    /// Replaces the state and keeps the place in the stream.
    pub fn with<T>(self, state: T) -> Current<T> {
        let Self { version, last, seen, kept, personal, .. } = self;
        Current { state, version, last, seen, kept, personal }
    }

    /// Returns the stream as it will be once these events are appended, with `state` as its state.
    ///
    /// The positions of the events are not known yet. [`Current::last`] holds the id of the last
    /// one and the position of the last stored event.
    #[must_use]
    pub fn followed_by(&self, state: S, events: &[NewEvent]) -> Self {
        let mut personal = self.personal.clone();
        for event in events {
            personal.add(event.data.get());
        }
        let version = events.iter().fold(self.version, |version, _| Version(version.0 + 1));
        let event_id = events.last().map_or(self.last.event_id, |last| Some(last.id));
        Self {
            state,
            version,
            last: EventRef { position: self.last.position, event_id },
            seen: self.seen,
            kept: self.kept,
            personal,
        }
    }

    /// Returns the requirement of an append decided on this state while its last event is pending.
    pub const fn behind(&self) -> ExpectedVersion {
        match self.last.event_id {
            Some(event_id) => ExpectedVersion::Behind { version: self.version, event_id },
            None => ExpectedVersion::NoStream,
        }
    }
}

impl StateLoader {
    /// Whether a command may use this earlier state. No subject with personal values in it may be
    /// erased, and an erasure must be able to reach it.
    ///
    /// # Errors
    /// [`StoreError::Keys`] when the erased subjects cannot be determined.
    pub async fn may_use<S: StreamState>(&self, ahead: &Current<S>) -> Result<bool, StoreError> {
        Ok(self.may_hold(&ahead.personal) && self.may_show(&ahead.personal).await?)
    }

    /// Caches a state whose events are now appended, the last of them at `last`, as if it had been
    /// loaded.
    pub fn confirm<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        ahead: Current<S>,
        last: EventRef,
    ) {
        if S::SHAPE.is_some() && self.may_hold(&ahead.personal) {
            self.put(stream, epoch, &Current { last, seen: last.position, ..ahead });
        }
    }

    /// Whether no subject with values in a state is erased. A state is shown only as long as its
    /// events could be.
    pub(super) async fn may_show(&self, personal: &Personal) -> Result<bool, StoreError> {
        let subjects = personal.subjects().unwrap_or_default();
        match self.vault() {
            Some(vault) if !subjects.is_empty() => Ok(!vault.any_erased(subjects).await?),
            _ => Ok(true),
        }
    }
}
