//! Makes erasures survive a restored backup. Before serving, the ledger is applied to the log and
//! the log to the keys.

use std::collections::HashSet;

use uuid::Uuid;

use super::erase::{EraseError, tell};
use crate::encryption::{StoredKey, SubjectKeyStore};
use crate::error::{KeyError, StoreError};
use crate::event::{EventRef, Position, RecordedEvent};
use crate::query::Filter;
use crate::store::EventStore;
use crate::subject::{SUBJECT_ERASED, erased_subject};

const PAGE: u32 = 1_000;
/// The requester to record when the log does not name one.
const NOT_SAID: &str = "not-said";

/// The number of repairs that [`reconcile`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// The number of keys that existed although the log reports their subject as erased: the key
    /// store was restored.
    pub destroyed: u64,
    /// The number of erasures that the log did not have, or that were incomplete: the log was
    /// restored, or a process died.
    pub told: u64,
}

/// Destroys the keys of every subject that the log reports as erased, and appends every erasure in
/// the ledger to the log. Run it before serving; it is safe to run twice or concurrently.
///
/// # Errors
/// [`EraseError`]; finished work stays. Do not serve: run it again.
pub async fn reconcile(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
) -> Result<Reconciled, EraseError> {
    let destroyed = apply_log(store, keys).await?;
    let told = apply_ledger(store, keys).await?;
    Ok(Reconciled { destroyed, told })
}

/// Whether every `subject.erased` of the log was applied to the keys. Processes that can only read
/// the keys check this before they start.
///
/// # Errors
/// [`StoreError`], including [`StoreError::Keys`].
pub async fn is_settled(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
) -> Result<bool, StoreError> {
    let mut after = applied(store, keys).await?;
    loop {
        let page = erasures(store, after).await?;
        let Some(last) = page.last() else { return Ok(true) };
        after = last.position;
        let subjects: Vec<Uuid> = page.iter().filter_map(erased_subject).collect();
        let found = keys.find(&subjects).await?;
        if found.iter().any(|stored| matches!(stored, Some(StoredKey::Wrapped(_)))) {
            return Ok(false);
        }
    }
}

async fn apply_log(store: &dyn EventStore, keys: &dyn SubjectKeyStore) -> Result<u64, EraseError> {
    let mut after = applied(store, keys).await?;
    let mut destroyed = 0;
    loop {
        let page = erasures(store, after).await?;
        let Some(last) = page.last().map(RecordedEvent::mark) else { return Ok(destroyed) };
        let mut seen = HashSet::new();
        for event in &page {
            let Some(subject) = erased_subject(event).filter(|subject| seen.insert(*subject))
            else {
                continue;
            };
            if keys.entry(subject).await?.is_none() {
                keys.destroy(subject, event.metadata.actor.as_deref().unwrap_or(NOT_SAID)).await?;
                keys.record(subject, event.mark(), 0).await?;
                destroyed += 1;
            }
        }
        keys.set_applied(last).await?;
        after = last.position;
    }
}

async fn apply_ledger(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
) -> Result<u64, EraseError> {
    let (mut after, mut told) = (Uuid::nil(), 0);
    // A log that has this event also has all events before it.
    let mut proved = Position::START;
    loop {
        let page = keys.ledger(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(told) };
        after = last.subject;
        for entry in page {
            match entry.erased_at {
                Some(mark) if mark.position <= proved => {}
                Some(mark) if store.event_ref_at(mark.position).await? == Some(mark) => {
                    proved = mark.position;
                }
                Some(_) | None => {
                    tell(store, keys, entry).await?;
                    told += 1;
                }
            }
        }
    }
}

/// Returns how far the log was applied, if it was this log.
async fn applied(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
) -> Result<Position, StoreError> {
    let EventRef { position, event_id } = keys.applied().await?;
    let there = store.event_ref_at(position).await?;
    Ok(if there.is_some_and(|mark| mark.event_id == event_id) { position } else { Position::START })
}

async fn erasures(
    store: &dyn EventStore,
    after: Position,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let event_type =
        SUBJECT_ERASED.parse().map_err(|error| KeyError::Unusable(format!("{error}")))?;
    store.read(&Filter::Types(vec![event_type]), after, PAGE).await
}
