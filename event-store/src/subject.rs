//! The names of a subject in the log: the event that records its erasure, and that event's stream.

use uuid::Uuid;

use crate::error::InvalidName;
use crate::event::RecordedEvent;
use crate::stream::StreamName;

/// The type of the event that records that a subject is erased.
pub const SUBJECT_ERASED: &str = "subject.erased";
/// The schema version of that event: `{"subject": <uuid>}`.
pub const SUBJECT_ERASED_VERSION: i32 = 1;
/// The category of the streams that record erasures.
pub(crate) const CATEGORY: &str = "subject";

/// Returns the stream that records a subject's erasure.
///
/// # Errors
/// Never, for a uuid.
pub fn subject_stream(subject: Uuid) -> Result<StreamName, InvalidName> {
    StreamName::new(CATEGORY, subject)
}

/// Returns the subject that this event reports as erased.
pub fn erased_subject(event: &RecordedEvent) -> Option<Uuid> {
    let says_so =
        event.event_type.as_str() == SUBJECT_ERASED && event.stream.category() == CATEGORY;
    if says_so { event.stream.id().parse().ok() } else { None }
}
