//! Erasing a subject. The steps, each repeatable until all are done:
//!
//! 1. in the key store, at once: the key is destroyed, a tombstone stays, the ledger has its line.
//!    From here on nobody who asks can read;
//! 2. in the log, at once: `subject.erased` on the stream `subject-<id>`, and the reservations of
//!    streams with that id are released;
//! 3. in the ledger: where that event stands.
//!
//! From step 2 on the log refuses whatever brings data of the subject or takes a reservation for
//! it, also from a process that has not heard of the erasure yet.
//!
//! The key goes first. A reader that has not reached `subject.erased` may still use a cached key. A
//! reader that has passed it never does. So a fold of the log gives the same rows whenever it runs.

use uuid::Uuid;

use super::keys::{KeyError, LedgerEntry, SubjectKeyStore};
use crate::append::{Append, AppendOutcome, MAX_STREAMS, Refusal, ReservationChange, StreamAppend};
use crate::error::{InvalidName, StoreError};
use crate::event::{EventRef, EventType, Metadata, NewEvent, RecordedEvent, Tag};
use crate::store::EventStore;
use crate::stream::{ExpectedVersion, StreamName, Version};

/// The event that says that a subject is erased.
pub const SUBJECT_ERASED: &str = "subject.erased";
/// The version of its shape: `{"subject": <uuid>}`.
pub const SUBJECT_ERASED_VERSION: i32 = 1;
/// The longest name of who asks, in bytes.
pub const MAX_BY_LEN: usize = 128;

pub(super) const CATEGORY: &str = "subject";
/// How often it is looked again for what others did meanwhile, and for more reservations.
const MAX_ROUNDS: u32 = 1_000;
const RESERVATIONS_AT_ONCE: u32 = 256;
const _: () = assert!(RESERVATIONS_AT_ONCE as usize <= MAX_STREAMS, "an append takes them");

/// Whose data is to be erased, and who says so.
#[derive(Debug, Clone)]
pub struct EraseRequest {
    /// Whose: what stands as `$subject` in personal fields, and as the id of streams that hold
    /// reservations.
    pub subject: Uuid,
    /// Who asks for it: an opaque id, printable ASCII without blanks. It is kept, so it is no
    /// personal data.
    pub by: String,
}

/// Why an erasure is not done, or not known to be done. Whatever was done stays; run it again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Who asks is not named, or not by an opaque id.
    #[error(
        "who asks for it must be an id of 1 to {MAX_BY_LEN} printable ASCII characters without \
            blanks"
    )]
    By,
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The log gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log said no.
    #[error("the log refused to note the erasure")]
    Refused(#[source] Refusal),
    /// New reservations came faster than they could be released.
    #[error("reservations of the subject are left")]
    StillReserved,
    /// A name of ours is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The event could not be written as JSON.
    #[error("the event could not be written")]
    Json(#[from] serde_json::Error),
}

/// The stream in which it stands that a subject is erased.
///
/// # Errors
/// Never, for a uuid.
pub fn subject_stream(subject: Uuid) -> Result<StreamName, InvalidName> {
    StreamName::new(CATEGORY, subject)
}

/// The subject that this event says to be erased.
pub fn erased_subject(event: &RecordedEvent) -> Option<Uuid> {
    let says_so =
        event.event_type.as_str() == SUBJECT_ERASED && event.stream.category() == CATEGORY;
    if says_so { event.stream.id().parse().ok() } else { None }
}

/// Erases a subject, or finishes an erasure that was begun. Done when it answers.
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

/// Steps 2 and 3, for a line of the ledger.
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
            // The log keeps reservations with an event, so it says so once more.
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
            // Somebody else was here meanwhile: look again.
            AppendOutcome::Repeated { .. } | AppendOutcome::Refused(Refusal::Version { .. }) => {}
            AppendOutcome::Refused(refusal) => return Err(EraseError::Refused(refusal)),
        }
    }
    Err(EraseError::StillReserved)
}

/// Returns once what was read is as safe as an acknowledged append: a read also shows a commit that
/// no standby has yet, and an append, of nothing here, waits for all before it.
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

/// `subject.erased`.
fn erased(
    entry: &LedgerEntry,
    stream: StreamName,
    expected: ExpectedVersion,
) -> Result<StreamAppend, EraseError> {
    let event_type: EventType = SUBJECT_ERASED.parse()?;
    let metadata = Metadata {
        correlation_id: Uuid::now_v7(),
        causation_id: None,
        actor: Some(entry.requested_by.clone()),
        traceparent: None,
    };
    let data = serde_json::json!({ "subject": entry.subject });
    let event = NewEvent::json(event_type, SUBJECT_ERASED_VERSION, &data, metadata)?
        .tagged(Tag::new(CATEGORY, entry.subject)?);
    Ok(StreamAppend { stream, expected, events: vec![event] })
}
