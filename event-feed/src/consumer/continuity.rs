//! Whether the log is the one that a checkpoint was made from: whether it holds the event of the
//! checkpoint at the checkpoint's position.
//!
//! A position alone proves nothing. A database that was restored, or a standby that was promoted
//! with commits missing, gives the same position to another event.

use event_store::{Epoch, EventRef, EventStore, StoreError};

/// What the log turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// The log of the checkpoint, which goes on in this epoch.
    Same(Epoch),
    /// A log that left the epoch of the checkpoint, and shares less with it than the checkpoint
    /// has: somebody decided that this log goes on.
    Over,
    /// A log that lost what the checkpoint has, or another log: a person must decide.
    Lost {
        /// What the log has at the checkpoint's position.
        found: Option<EventRef>,
        /// The epoch of the checkpoint, if the log never was in it: it has to be abandoned by name
        /// if this log is to go on.
        unknown: Option<Epoch>,
    },
}

/// Compares a checkpoint with the log. It is at `mark`, and of `epoch` if it is past the first
/// event.
///
/// # Errors
/// The log cannot be read.
pub async fn prove(
    store: &dyn EventStore,
    epoch: Option<Epoch>,
    mark: EventRef,
) -> Result<Continuity, StoreError> {
    // In this order: an event that is there after an epoch has begun was there before.
    let head = store.head().await?;
    if mark == EventRef::START {
        return Ok(Continuity::Same(head.epoch));
    }
    let found = store.event_ref_at(mark.position).await?;
    if found == Some(mark) {
        return Ok(Continuity::Same(head.epoch));
    }
    let Some(former) = epoch.filter(|epoch| *epoch != head.epoch) else {
        return Ok(Continuity::Lost { found, unknown: None });
    };
    if store.descends_from(former).await? {
        Ok(Continuity::Over)
    } else {
        Ok(Continuity::Lost { found, unknown: Some(former) })
    }
}
