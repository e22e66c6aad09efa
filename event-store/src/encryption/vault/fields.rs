//! The personal fields of single events: finding them, encrypting them under their subjects' keys,
//! and revealing them. No key is fetched here.

use std::collections::HashMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::append::Append;
use crate::encryption::cache::Known;
use crate::encryption::envelope::{self, Place};
use crate::encryption::marked::{self, Content, Field, Malformed};
use crate::error::KeyError;
use crate::error::StoreError;
use crate::event::{NewEvent, RecordedEvent};
use crate::stream::StreamName;

/// The personal fields of an event to append.
pub(super) struct Found<'a> {
    stream: &'a StreamName,
    event: &'a NewEvent,
    fields: Vec<Field<'a>>,
}

/// Returns the personal fields of the append, event by event.
pub(super) fn readable(append: &Append) -> Result<Vec<Found<'_>>, StoreError> {
    let events = append
        .streams
        .iter()
        .flat_map(|stream| stream.events.iter().map(move |event| (&stream.stream, event)));
    let found = events.map(|(stream, event)| {
        let fields = marked::fields(event.data.get()).map_err(|error| malformed(event, error))?;
        Ok(Found { stream, event, fields })
    });
    found.collect()
}

/// Returns the subjects whose readable values are in these fields, each once.
pub(super) fn subjects_of(found: &[Found<'_>]) -> Vec<Uuid> {
    let fields = found.iter().flat_map(|found| &found.fields).filter(|field| !is_erased(field));
    let mut subjects: Vec<Uuid> = fields.map(|field| field.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// The error when a field cannot be revealed.
pub(super) struct DoesNotRead;

fn is_erased(field: &Field<'_>) -> bool {
    matches!(field.content, Content::Erased)
}

fn malformed(event: &NewEvent, error: Malformed) -> StoreError {
    StoreError::Invalid(format!("event {}: {error}", event.id))
}

/// Returns the payload with its fields encrypted; `None` when it has none.
pub(super) fn encrypted(
    found: &Found<'_>,
    known: &HashMap<Uuid, Known>,
) -> Result<Option<Box<RawValue>>, StoreError> {
    let Found { stream, event, fields } = found;
    let mut edits = Vec::with_capacity(fields.len());
    for field in fields {
        let json = match field.content {
            Content::Plain(json) => json,
            Content::Erased => continue,
            Content::Encrypted(_) => {
                return Err(StoreError::Invalid(format!(
                    "event {} has an encrypted value ($sealed): append the plain value",
                    event.id
                )));
            }
        };
        let Some(Known::Key(key)) = known.get(&field.subject) else {
            return Err(KeyError::Unavailable(None).into());
        };
        let place = Place {
            stream: stream.as_str(),
            event_id: event.id,
            subject: field.subject,
            path: &field.path,
        };
        let encrypted = envelope::encrypt(key, place, json)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        edits.push(field.encrypted(&encrypted));
    }
    if edits.is_empty() {
        return Ok(None);
    }
    let data = marked::replaced(event.data.get(), edits);
    data.map(Some).map_err(|_| {
        StoreError::Invalid(format!("event {}: its fields cannot be encrypted", event.id))
    })
}

/// Returns the payload with its values; `None` when nothing in it is encrypted.
pub(super) fn revealed(
    event: &RecordedEvent,
    known: &HashMap<Uuid, Known>,
) -> Result<Option<Box<RawValue>>, DoesNotRead> {
    let fields = marked::fields(event.data.get()).map_err(|_| DoesNotRead)?;
    let mut edits = Vec::with_capacity(fields.len());
    for field in &fields {
        let Content::Encrypted(encrypted) = field.content else { continue };
        match known.get(&field.subject) {
            Some(Known::Key(key)) => {
                let place = Place {
                    stream: event.stream.as_str(),
                    event_id: event.id,
                    subject: field.subject,
                    path: &field.path,
                };
                let json = envelope::decrypt(key, place, encrypted).map_err(|_| DoesNotRead)?;
                edits.push(field.revealed(Some(&json)));
            }
            Some(Known::Erased) => edits.push(field.revealed(None)),
            None => return Err(DoesNotRead),
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    marked::replaced(event.data.get(), edits).map(Some).map_err(|_| DoesNotRead)
}
