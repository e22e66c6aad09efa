//! Decides where publishing continues, for any target: it proves that the target's events belong to
//! this log.
//!
//! A target ends at some event of some epoch. If the log has that event at that position,
//! publishing continues after it. If the epoch is the log's own but the event is not, the log lost
//! commits. The same holds if the log never had that epoch. Then nothing is published until a
//! person restores the right server or begins a new epoch. A target of a past epoch starts over,
//! one refill window before the head, unless it can prove more.

use event_store::{Epoch, EventRef, EventStore, Head, Position, StoreError};
use postgres_kit::{Keeper, LeaseLost, Term};
use uuid::Uuid;

use super::target::TargetError;

/// Where publishing continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// After this event, which is the target's last.
    After(EventRef),
    /// After the relay's own cursor, because the target cannot tell.
    ByCursor,
    /// One refill window before the head, because the target cannot tell and has lost what the
    /// cursor counts, or never had it.
    Emptied,
}

/// Why the relay could not find out where to continue.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The target does not answer, or cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another relay leads.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// The target has events that the log lost.
    #[error(transparent)]
    LostCommits(#[from] LostCommits),
}

/// The target has events that the log lost. Each message names the command to continue.
#[derive(Debug, thiserror::Error)]
pub enum LostCommits {
    /// The log has another event, or none, at the position of the target's event.
    #[error(
        "the log has {} at position {position}, where {place} has {}: the database was restored, \
         or a standby promoted with commits missing. Nothing is published. Bring the right server \
         back; or, if this log is to go on as it is, run `event-store epoch begin`",
        event(*.log), event(*.target)
    )]
    Event {
        /// The name of the target's copy, such as `the stream EVENTS`.
        place: String,
        /// The position at which log and target differ.
        position: Position,
        /// The id of the target's event at that position.
        target: Option<Uuid>,
        /// The id of the log's event at that position.
        log: Option<Uuid>,
    },
    /// The log never had the target's epoch.
    #[error(
        "{place} is of epoch {epoch}, in which this log never was: it is another log, or a copy \
         from before that epoch. Nothing is published. Name the right server; or, if this log is \
         to go on in its place, run `event-store epoch begin --abandon {epoch}`"
    )]
    Epoch {
        /// The name of the target's copy.
        place: String,
        /// The epoch that the target names.
        epoch: Epoch,
    },
}

fn event(id: Option<Uuid>) -> String {
    id.map_or_else(|| "no event".to_owned(), |id| format!("event {id}"))
}

/// The log and the lease, for a target that resumes.
pub struct Resuming<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) keeper: &'a Keeper,
    pub(super) head: Head,
    pub(super) refill_window: i64,
}

impl Resuming<'_> {
    /// The log's epoch and last event, as of a moment ago.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The term of this leader.
    pub fn term(&self) -> Term {
        self.keeper.term()
    }

    /// Checks with the database that this leader still leads. Call it right before any action that
    /// the target itself would not refuse to a leader with an older term.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn check_lease(&self) -> Result<(), LeaseLost> {
        self.keeper.check().await
    }

    /// Whether the log has left this epoch, to which `place` belongs.
    ///
    /// # Errors
    /// [`LostCommits`] if the log never had this epoch.
    pub async fn is_over(&self, epoch: Epoch, place: &str) -> Result<bool, ResumeError> {
        if epoch == self.head.epoch {
            return Ok(false);
        }
        if self.store.descends_from(epoch).await? {
            Ok(true)
        } else {
            Err(LostCommits::Epoch { place: place.to_owned(), epoch }.into())
        }
    }

    /// Returns the log's event at `position`, where `place` ends. It must equal `published`, if the
    /// target still has that event.
    ///
    /// # Errors
    /// [`LostCommits`] if the log has another event there, or none.
    pub async fn prove(
        &self,
        position: Position,
        published: Option<EventRef>,
        place: &str,
    ) -> Result<EventRef, ResumeError> {
        // Read now, because another leader may have published beyond the known head.
        let stored = self.store.event_ref_at(position).await?;
        let is_published = |stored: &EventRef| published.is_none_or(|mark| mark == *stored);
        stored.filter(is_published).ok_or_else(|| {
            let target = published.and_then(|mark| mark.event_id);
            let log = stored.and_then(|mark| mark.event_id);
            LostCommits::Event { place: place.to_owned(), position, target, log }.into()
        })
    }

    /// The last event that a new target does not get: one refill window before the head.
    ///
    /// # Errors
    /// [`ResumeError::Store`].
    pub async fn before_refill(&self) -> Result<EventRef, ResumeError> {
        let position = Position((self.head.mark.position.0 - self.refill_window).max(0));
        let event = self.store.event_ref_at(position).await?;
        let absent = || format!("there is no event at position {position}, below the head");
        Ok(event.ok_or_else(|| StoreError::Unusable(absent()))?)
    }
}
