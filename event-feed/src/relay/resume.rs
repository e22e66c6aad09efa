//! Where publishing goes on, whatever the target: the proof that what a target has is of this log.
//!
//! A target is at some event of some epoch. If the log has that event at that position, publishing
//! goes on after it. If the epoch is the log's own and the event is not the log's, the log lost
//! commits, as it also did if it never was in that epoch: then nothing is published until a person
//! brings the right server back or begins a new epoch. A target of an epoch that is over begins
//! again, one refill window below the head, unless it can show more.

use event_store::{Epoch, EventRef, EventStore, Head, Position, StoreError};
use uuid::Uuid;

use super::target::TargetError;
use super::term::{Keeper, LeaseLost};
use crate::lease::Term;

/// Where publishing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// After this event, the target's last.
    After(EventRef),
    /// After the relay's own cursor: the target cannot tell.
    ByCursor,
}

/// Why the relay could not find out where to go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The target does not answer, or cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else leads.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// The target has what the log lost.
    #[error(transparent)]
    LostCommits(#[from] LostCommits),
}

/// The target has what the log lost. Each names the command that goes on.
#[derive(Debug, thiserror::Error)]
pub enum LostCommits {
    /// Another event, or none, is at a position of the log.
    #[error(
        "the log has {} at position {position}, where {place} has {}: the database was restored, \
         or a standby promoted with commits missing. Nothing is published. Bring the right server \
         back; or, if this log is to go on as it is, run `event-store epoch begin`",
        event(*.log), event(*.target)
    )]
    Event {
        /// What has it, such as `the stream EVENTS`.
        place: String,
        /// The position where log and target differ.
        position: Position,
        /// The id of the target's event there.
        target: Option<Uuid>,
        /// The id of the log's event there.
        log: Option<Uuid>,
    },
    /// The log never was in the target's epoch.
    #[error(
        "{place} is of epoch {epoch}, in which this log never was: it is another log, or a copy \
         from before that epoch. Nothing is published. Name the right server; or, if this log is \
         to go on in its place, run `event-store epoch begin --abandon {epoch}`"
    )]
    Epoch {
        /// What is of that epoch.
        place: String,
        /// The epoch that the target names.
        epoch: Epoch,
    },
}

fn event(id: Option<Uuid>) -> String {
    id.map_or_else(|| "no event".to_owned(), |id| format!("event {id}"))
}

/// The log and the lease, as a target needs them to resume.
pub struct Resuming<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) keeper: &'a Keeper,
    pub(super) head: Head,
    pub(super) refill_window: i64,
}

impl Resuming<'_> {
    /// The log's epoch and its last event, as of a moment ago.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The term of this leader.
    pub fn term(&self) -> Term {
        self.keeper.term()
    }

    /// Asks the database whether this leader still leads: to be called right before anything that
    /// the target itself would not refuse to a leader of an older term.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn check_lease(&self) -> Result<(), LeaseLost> {
        self.keeper.check().await
    }

    /// Whether the log has left this epoch, which `place` is of.
    ///
    /// # Errors
    /// [`LostCommits`] when the log never was in it.
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

    /// The log's event at `position`, where `place` ends. It must be the `published` one, if the
    /// target still has that.
    ///
    /// # Errors
    /// [`LostCommits`] when the log has another event there, or none.
    pub async fn prove(
        &self,
        position: Position,
        published: Option<EventRef>,
        place: &str,
    ) -> Result<EventRef, ResumeError> {
        // Asked for now: the known head may be older than what another leader has published since.
        let stored = self.store.event_ref_at(position).await?;
        let is_published = |stored: &EventRef| published.is_none_or(|mark| mark == *stored);
        stored.filter(is_published).ok_or_else(|| {
            let target = published.and_then(|mark| mark.event_id);
            let log = stored.and_then(|mark| mark.event_id);
            LostCommits::Event { place: place.to_owned(), position, target, log }.into()
        })
    }

    /// The last event that a target which begins now does not get: one refill window below the
    /// head.
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
