//! States ahead of the log: what a stream will come to once events that are on their way are
//! appended. A command that is decided on one is appended behind the last of those events
//! ([`ExpectedVersion::Behind`]), so that nothing rests on what never happened.

use super::{Current, StateLoader, StreamState};
use crate::erasure::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, NewEvent};
use crate::stream::{ExpectedVersion, StreamName, Version};

impl<S> Current<S> {
    /// The same place in the stream with something else as its state.
    pub fn with<T>(self, state: T) -> Current<T> {
        let Self { version, last, kept, personal, .. } = self;
        Current { state, version, last, kept, personal }
    }

    /// The stream once these events are appended to it; `state` is what it then comes to.
    ///
    /// Where they will stand is not known: [`Current::last`] has the id of the last of them, and
    /// the position of the last event that is stored.
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
            kept: self.kept,
            personal,
        }
    }

    /// What an append requires that was decided on this state while its last event is on its way.
    pub const fn behind(&self) -> ExpectedVersion {
        match self.last.event_id {
            Some(event_id) => ExpectedVersion::Behind { version: self.version, event_id },
            None => ExpectedVersion::NoStream,
        }
    }
}

impl StateLoader {
    /// Whether a command may be decided on this state, which was not loaded just now: nobody whose
    /// personal values are in it may be erased, and an erasure must be able to reach it.
    ///
    /// # Errors
    /// [`StoreError::Keys`], when nobody can say who is erased.
    pub async fn may_use<S: StreamState>(&self, ahead: &Current<S>) -> Result<bool, StoreError> {
        Ok(self.may_hold(&ahead.personal) && self.may_show(&ahead.personal).await?)
    }

    /// Puts a state into memory whose events are appended by now, the last of them at `last`: as if
    /// it had been loaded.
    pub fn confirm<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        ahead: Current<S>,
        last: EventRef,
    ) {
        if S::SHAPE.is_some() && self.may_hold(&ahead.personal) {
            self.put(stream, epoch, &Current { last, ..ahead });
        }
    }

    /// Whether nobody whose values are in a state is erased: it is shown only as long as its events
    /// could be.
    pub(super) async fn may_show(&self, personal: &Personal) -> Result<bool, StoreError> {
        let subjects = personal.subjects().unwrap_or_default();
        match self.vault() {
            Some(vault) if !subjects.is_empty() => Ok(!vault.any_erased(subjects).await?),
            _ => Ok(true),
        }
    }
}
