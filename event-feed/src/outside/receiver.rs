//! The port that a program implements to receive events.

use std::collections::BTreeSet;

use event_store::encryption::{blanked, subjects_in};
use event_store::subject::erased_subject;
use event_store::{Epoch, EventRef, RecordedEvent};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::consumer::BoxError;
use crate::message::Decoded;

/// An event as it came from a broker.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The history that it belongs to. With the position, it identifies the event for ever.
    pub epoch: Epoch,
    /// The position in the log, and the id of the event.
    pub mark: EventRef,
    /// The event; `None` if it was too large for the broker, so it is only in the log.
    pub event: Option<RecordedEvent>,
    /// The number of attempts that failed.
    pub attempts: u32,
}

impl Incoming {
    pub(super) fn new(decoded: Decoded, attempts: u32) -> Self {
        let Decoded { epoch, mark, event } = decoded;
        Self { epoch, mark, event, attempts }
    }

    /// The subject that this event reports as erased.
    pub fn erased_subject(&self) -> Option<Uuid> {
        self.event.as_ref().and_then(erased_subject)
    }

    /// The subjects of its personal fields.
    pub fn subjects(&self) -> BTreeSet<Uuid> {
        self.event.as_ref().map(|event| subjects_in(event.data.get())).unwrap_or_default()
    }

    /// Blanks the personal fields of these subjects.
    pub(super) fn blank(&mut self, erased: &[Uuid]) {
        let Some(event) = &mut self.event else { return };
        let data = blanked(event.data.get(), |subject| erased.contains(&subject)).into_owned();
        event.data = RawValue::from_string(data).unwrap_or_default();
    }
}

/// How an event was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Its effects and its epoch and position were committed together.
    Now,
    /// Its epoch and position had been committed before, so it had no effect now.
    Before,
}

/// Why an event had no effect.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The receiver can take no event now, for example because its database is away. All events
    /// wait, and none counts an attempt.
    #[error("no event can be taken now")]
    Unable(#[source] BoxError),
    /// This event failed, and may succeed later.
    #[error("the event may be taken later")]
    Later(#[source] BoxError),
    /// This event can never succeed.
    #[error("the event can never be taken")]
    Never(#[source] BoxError),
}

/// Takes events into a program's own database.
pub trait Receiver: Send {
    /// Takes one event. In one transaction: record its epoch and position under a unique key, and
    /// apply its effects. If the key was there, commit nothing and return [`Taken::Before`].
    ///
    /// `subject.erased` comes here too ([`Incoming::erased_subject`]): record the subject, and
    /// delete what the program holds of it.
    ///
    /// The consumer drops the future after its limit, and then counts an attempt.
    ///
    /// # Errors
    /// [`NotTaken`]. Nothing may be committed then.
    fn take(
        &mut self,
        incoming: &Incoming,
    ) -> impl Future<Output = Result<Taken, NotTaken>> + Send;

    /// Returns which of these subjects [`Receiver::take`] recorded as erased. The consumer asks
    /// before it keeps a copy of an event, and before it hands over such a copy.
    ///
    /// # Errors
    /// Any, if the database cannot be read now. All events wait then.
    fn erased_among(
        &mut self,
        subjects: &BTreeSet<Uuid>,
    ) -> impl Future<Output = Result<Vec<Uuid>, BoxError>> + Send;
}
