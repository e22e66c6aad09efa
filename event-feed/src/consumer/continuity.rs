//! Proves that the log is the one from which a checkpoint was made: it has the checkpoint's event
//! at the checkpoint's position.
//!
//! A position alone proves nothing. A restored database, or a standby that was promoted with
//! commits missing, gives the same position to another event.

use event_store::{Epoch, EventRef, EventStore, StoreError};

/// How the log relates to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// It is the checkpoint's log, which continues in this epoch.
    Same(Epoch),
    /// The log left the checkpoint's epoch at an earlier position than the checkpoint's: somebody
    /// decided that this log continues.
    Over,
    /// The log lost the checkpoint's event, or it is another log. A person must decide.
    Lost {
        /// The log's event at the checkpoint's position.
        found: Option<EventRef>,
        /// The checkpoint's epoch, if the log never was in it. If this log is to continue, that
        /// epoch must be abandoned by name.
        unknown: Option<Epoch>,
    },
}

/// Compares the checkpoint at `mark` with the log. `epoch` is the checkpoint's epoch; `None` before
/// the first event.
///
/// # Errors
/// [`StoreError`] if the log cannot be read.
pub async fn prove(
    store: &dyn EventStore,
    epoch: Option<Epoch>,
    mark: EventRef,
) -> Result<Continuity, StoreError> {
    // The head is read first: an event that is there after an epoch began was there before it.
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
