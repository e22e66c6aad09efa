//! The names of a subject in the log: the event that records its erasure, and that event's stream.

use uuid::Uuid;

use crate::error::InvalidName;
use crate::event::RecordedEvent;
use crate::stream::StreamName;

/// The type of the event that records that a subject is erased.
pub const SUBJECT_ERASED: &str = "subject.erased";
/// The schema version of that event: `{"subject": <uuid>}`.
pub const SUBJECT_ERASED_VERSION: i32 = 1;
/// The JSON Schema of that event's payload.
pub fn subject_erased_schema() -> serde_json::Value {
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{SUBJECT_ERASED} v{SUBJECT_ERASED_VERSION}"),
        "description": "The personal data of a person were erased for good. Delete what you hold \
            of this person.",
        "type": "object",
        "properties": {
            "subject": {
                "description": "The person's id: `$subject` of personal values.",
                "type": "string",
                "format": "uuid",
            },
        },
        "required": ["subject"],
    })
}

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
