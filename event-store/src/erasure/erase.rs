//! The erasure of a subject, in three steps. All can be repeated until they are done:
//!
//! 1. In the key store, in one transaction: the key is destroyed, a tombstone stays, and the ledger
//!    gets its entry. From here on no new query gets the key.
//! 2. In the log, in one append: `subject.erased` on the stream `subject-<id>`, and the release of
//!    the reservations of streams with that id.
//! 3. In the ledger: the position of that event.
//!
//! From step 2 on the log rejects appends with data of the subject and reservations for it. That
//! includes appends of a process that has not learned of the erasure yet.
//!
//! The key is destroyed first. A reader that has not reached `subject.erased` may still use a
//! cached key. A reader that has passed it never does. So a fold of the log gives the same rows
//! whenever it runs.

use uuid::Uuid;

use crate::append::{Append, AppendOutcome, MAX_STREAMS, Refusal, ReservationChange, StreamAppend};
use crate::encryption::{LedgerEntry, SubjectKeyStore};
use crate::error::{InvalidName, KeyError, StoreError};
use crate::event::{EventRef, EventType, Metadata, NewEvent, RecordedEvent, Tag};
use crate::store::EventStore;
use crate::stream::{ExpectedVersion, StreamName, Version};
use crate::subject::{CATEGORY, SUBJECT_ERASED, SUBJECT_ERASED_VERSION, subject_stream};

/// The maximum length of the requester's id, in bytes.
pub const MAX_BY_LEN: usize = 128;

/// The maximum number of attempts, because of concurrent changes and further reservations.
const MAX_ROUNDS: u32 = 1_000;
const RESERVATIONS_AT_ONCE: u32 = 256;
const _: () = assert!(RESERVATIONS_AT_ONCE as usize <= MAX_STREAMS, "an append takes them");

/// A request to erase a subject's data.
#[derive(Debug, Clone)]
pub struct EraseRequest {
    /// The subject: the `$subject` of personal fields, and the id of streams that hold
    /// reservations.
    pub subject: Uuid,
    /// The requester, as an opaque id of printable ASCII without blanks. It is stored, so it must
    /// not be personal data.
    pub by: String,
}

/// The reason why an erasure is not complete, or not known to be. Finished steps stay; run it
/// again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The requester is missing or is not an opaque id.
    #[error(
        "the requester must be an id of 1 to {MAX_BY_LEN} printable ASCII characters without \
            blanks"
    )]
    By,
    /// The key store failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The log gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log refused the append.
    #[error("the log refused to record the erasure")]
    Refused(#[source] Refusal),
    /// New reservations were taken faster than they could be released.
    #[error("reservations of the subject are left")]
    StillReserved,
    /// A stream or type name of this crate is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The event could not be written as JSON.
    #[error("the event could not be written")]
    Json(#[from] serde_json::Error),
}

/// Erases a subject, or completes an earlier erasure. The erasure is complete when it returns `Ok`.
///
/// # Errors
/// [`EraseError`]; run it again.
pub async fn erase(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
    request: &EraseRequest,
) -> Result<LedgerEntry, EraseError> {
    let by = &request.by;
    if !(1..=MAX_BY_LEN).contains(&by.len()) || !by.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(EraseError::By);
    }
    let entry = keys.destroy(request.subject, by).await?;
    tell(store, keys, entry).await
}

/// Runs steps 2 and 3 for an entry of the ledger.
pub(super) async fn tell(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
    entry: LedgerEntry,
) -> Result<LedgerEntry, EraseError> {
    let subject = entry.subject;
    let (stream, id) = (subject_stream(subject)?, subject.to_string());
    let (mut released, mut acknowledged) = (0, false);
    for _ in 0..MAX_ROUNDS {
        let told =
            store.read_stream(&stream, Version::NONE, 1).await?.first().map(RecordedEvent::mark);
        let reservations = store.reservations_of(&id, RESERVATIONS_AT_ONCE).await?;
        if let (Some(mark), true) = (told, reservations.is_empty()) {
            if !acknowledged {
                confirm(store).await?;
            }
            return note(keys, entry, mark, released).await;
        }
        let count = i64::try_from(reservations.len()).unwrap_or(i64::MAX);
        let reservations = reservations
            .into_iter()
            .map(|(reservation, owner)| ReservationChange::Release { reservation, owner })
            .collect();
        let expected = match told {
            None => ExpectedVersion::NoStream,
            // The log stores reservation changes with an event, so this appends another
            // `subject.erased`.
            Some(_) => ExpectedVersion::StreamExists,
        };
        let append = Append {
            streams: vec![erased(&entry, stream.clone(), expected)?],
            reservations,
            ..Append::default()
        };
        acknowledged = true;
        match store.append(append).await? {
            AppendOutcome::Appended(_) => released += count,
            // Another process acted at the same time: try again.
            AppendOutcome::Repeated { .. } | AppendOutcome::Refused(Refusal::Version { .. }) => {}
            AppendOutcome::Refused(refusal) => return Err(EraseError::Refused(refusal)),
        }
    }
    Err(EraseError::StillReserved)
}

/// Waits until the data read is as durable as an acknowledged append. A read also shows a commit
/// that no standby has yet. An empty append waits for all commits before it.
async fn confirm(store: &dyn EventStore) -> Result<(), EraseError> {
    match store.append(Append::default()).await? {
        AppendOutcome::Appended(_) | AppendOutcome::Repeated { .. } => Ok(()),
        AppendOutcome::Refused(refusal) => Err(EraseError::Refused(refusal)),
    }
}

async fn note(
    keys: &dyn SubjectKeyStore,
    entry: LedgerEntry,
    mark: EventRef,
    released: i64,
) -> Result<LedgerEntry, EraseError> {
    if entry.erased_at != Some(mark) || released > 0 {
        keys.record(entry.subject, mark, released).await?;
    }
    Ok(LedgerEntry {
        erased_at: Some(mark),
        reservations_released: entry.reservations_released + released,
        ..entry
    })
}

/// Makes the event `subject.erased`.
fn erased(
    entry: &LedgerEntry,
    stream: StreamName,
    expected: ExpectedVersion,
) -> Result<StreamAppend, EraseError> {
    let event_type: EventType = SUBJECT_ERASED.parse()?;
    let actor = Some(entry.requested_by.clone());
    let metadata = Metadata { actor, ..Metadata::new(Uuid::now_v7()) };
    let data = serde_json::json!({ "subject": entry.subject });
    let event = NewEvent::json(event_type, SUBJECT_ERASED_VERSION, &data, metadata)?
        .tagged(Tag::new(CATEGORY, entry.subject)?);
    Ok(StreamAppend { stream, expected, events: vec![event] })
}
