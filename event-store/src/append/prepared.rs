//! A validated append, the form that both stores work with. Nothing here reads the log.

use std::collections::HashSet;
use std::hash::Hash;

use uuid::Uuid;

use super::{
    Append, AppendCondition, Idempotency, ReservationChange, ReservedValue, stored_append,
};
use crate::error::StoreError;
use crate::event::{Epoch, NewEvent, Tag};
use crate::stream::StreamName;

/// The maximum size of one event, in bytes: data, metadata and tags together.
pub const MAX_EVENT_BYTES: usize = 512 * 1024;
/// The maximum number of tags of one event.
pub const MAX_TAGS: usize = 32;
/// The maximum nesting depth of an event's or answer's JSON.
pub const MAX_JSON_DEPTH: usize = 64;
/// The maximum number of events of one append.
pub const MAX_EVENTS: usize = 1_000;
/// The maximum size of one append, in bytes: all events and the stored answer together.
pub const MAX_APPEND_BYTES: usize = 4 * 1024 * 1024;
/// The maximum number of streams, and of reservations, of one append.
pub const MAX_STREAMS: usize = 256;
/// The maximum number of items over all conditions of one append.
pub const MAX_CONDITION_ITEMS: usize = 256;
/// The maximum length of a reservation's scope, in bytes.
pub const MAX_SCOPE_LEN: usize = 64;
/// The maximum number of subjects whose data one append may bring.
pub const MAX_SUBJECTS: usize = 4_096;

/// A valid append and the values derived from it.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The id of the append, the same on every send. A batch whose answer was lost can therefore be
    /// sent again.
    pub(crate) append_id: Uuid,
    pub(crate) append: Append,
    /// Per event, in order of streams: the metadata as JSON and the tags joined by blanks.
    pub(crate) texts: Vec<EventText>,
    pub(crate) reservations: Vec<ReservationStep>,
    /// The check of each item of each condition, in order.
    pub(crate) checks: Vec<ItemCheck>,
    /// The subjects that must not be erased, each once: [`Append::subjects`] and the ids of streams
    /// that take a reservation.
    pub(crate) subjects: Vec<Uuid>,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct EventText {
    pub(crate) metadata: String,
    pub(crate) tags: String,
}

/// The change of one reserved value: one stream releases it, then another takes it.
#[derive(Debug)]
pub(crate) struct ReservationStep {
    /// The index in [`Append::reservations`] of the change that takes the value, or else of the one
    /// that releases it.
    pub(crate) index: usize,
    pub(crate) reservation: ReservedValue,
    pub(crate) release: Option<StreamName>,
    pub(crate) take: Option<StreamName>,
}

impl ReservationStep {
    /// Returns the reservation that `owner` blocks, and the owner.
    pub(crate) fn refusal(&self, owner: Option<&StreamName>) -> Option<(usize, StreamName)> {
        let (take, owner) = (self.take.as_ref()?, owner?);
        let free = owner == take || self.release.as_ref() == Some(owner);
        (!free).then(|| (self.index, owner.clone()))
    }
}

/// One item of a condition and the position up to which it was checked.
#[derive(Debug)]
pub(crate) struct ItemCheck {
    /// The index of the condition in [`Append::conditions`].
    pub(crate) condition: usize,
    pub(crate) tags: String,
    pub(crate) types: String,
    pub(crate) after: i64,
    pub(crate) broken: Option<i64>,
}

impl Prepared {
    pub(crate) fn new(mut append: Append) -> Result<Self, StoreError> {
        check_streams(&append)?;
        let mut bytes = 0;
        let mut texts = Vec::new();
        for event in append.streams.iter_mut().flat_map(|s| &mut s.events) {
            let text = prepare_event(event)?;
            bytes += event.data.get().len() + text.metadata.len() + text.tags.len();
            texts.push(text);
        }
        if let Some(idempotency) = &append.idempotency {
            check_json("answer", idempotency.answer.get())?;
            bytes += idempotency.answer.get().len();
        }
        if bytes > MAX_APPEND_BYTES {
            return Err(invalid(format!("it has {bytes} bytes, more than {MAX_APPEND_BYTES}")));
        }
        if !append.reservations.is_empty() && texts.is_empty() {
            return Err(invalid(
                "reservations need an event, with which the log keeps them".into(),
            ));
        }
        let reservations = reservation_steps(&append.reservations)?;
        if let (Some(stored_append), Some(last)) =
            (stored_append::metadata(&append, &reservations, texts.len()), texts.last_mut())
        {
            let stored_append = stored_append.map_err(|error| {
                invalid(format!("its metadata cannot be written as JSON: {error}"))
            })?;
            if stored_append.len() > MAX_EVENT_BYTES {
                return Err(invalid(format!(
                    "its answer and reservations have {} bytes, more than {MAX_EVENT_BYTES}",
                    stored_append.len()
                )));
            }
            last.metadata = stored_append;
        }
        let checks = item_checks(&append.conditions)?;
        let subjects = subjects(&append, &reservations)?;
        // The first event's id serves as append id: it is unique in the log, and a sender that
        // repeats the append knows it.
        let first = append.streams.iter().find_map(|s| s.events.first());
        let append_id = first.map_or_else(Uuid::new_v4, |event| event.id);
        Ok(Self { append_id, append, texts, reservations, checks, subjects, bytes })
    }

    /// Prepares an append that only looks up an idempotency key, under the lock and with its own
    /// commit. It never appends: its epoch matches no log, so an unknown key is refused.
    pub(crate) fn look(idempotency: &Idempotency) -> Result<Self, StoreError> {
        Self::new(Append {
            idempotency: Some(idempotency.clone()),
            epoch: Some(Epoch(Uuid::nil())),
            ..Append::default()
        })
    }

    /// Returns the events in order, with their texts.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&NewEvent, &EventText)> {
        self.append.streams.iter().flat_map(|s| &s.events).zip(&self.texts)
    }
}

fn invalid(reason: String) -> StoreError {
    StoreError::Invalid(reason)
}

fn check_streams(append: &Append) -> Result<(), StoreError> {
    if append.streams.len() > MAX_STREAMS || append.reservations.len() > MAX_STREAMS {
        return Err(invalid(format!("it names more than {MAX_STREAMS} streams or reservations")));
    }
    if let Some(twice) = twice(append.streams.iter().map(|s| &s.stream)) {
        return Err(invalid(format!("stream {twice} appears in it twice")));
    }
    let events = append.streams.iter().map(|s| s.events.len()).sum::<usize>();
    if events > MAX_EVENTS {
        return Err(invalid(format!("it has {events} events, more than {MAX_EVENTS}")));
    }
    for stream in append.streams.iter().filter(|s| s.events.len() > 1) {
        if stream.events.iter().rev().skip(1).any(|e| e.event_type.closes_stream()) {
            return Err(invalid(format!(
                "an event of stream {} follows the one that closes it",
                stream.stream
            )));
        }
    }
    if let Some(twice) = twice(append.streams.iter().flat_map(|s| &s.events).map(|e| e.id)) {
        return Err(invalid(format!("event id {twice} appears in it twice")));
    }
    Ok(())
}

/// Returns the first value that appears a second time.
fn twice<T: Eq + Hash + Copy>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    let second = all.next()?;
    // Most appends have one stream and one event and return before this line.
    let mut seen = HashSet::from([first]);
    std::iter::once(second).chain(all).find(|one| !seen.insert(*one))
}

/// Checks one event and removes duplicate tags.
fn prepare_event(event: &mut NewEvent) -> Result<EventText, StoreError> {
    if event.schema_version < 1 {
        return Err(invalid(format!(
            "event {} has schema version {}, below 1",
            event.id, event.schema_version
        )));
    }
    // Check each length before scanning the text byte by byte.
    check_size(event, event.data.get().len())?;
    check_json("data", event.data.get())?;
    let mut seen: Vec<Tag> = Vec::new();
    if event.tags.len() > 1 {
        event.tags.retain(|tag| {
            let new = !seen.contains(tag);
            if new && seen.len() <= MAX_TAGS {
                seen.push(tag.clone());
            }
            new
        });
    }
    if event.tags.len() > MAX_TAGS {
        return Err(invalid(format!("event {} has more than {MAX_TAGS} tags", event.id)));
    }
    let metadata = serde_json::to_string(&event.metadata).map_err(|error| {
        invalid(format!("the metadata of event {} cannot be written as JSON: {error}", event.id))
    })?;
    let tags = joined(event.tags.iter().map(Tag::as_str));
    check_size(event, event.data.get().len() + metadata.len() + tags.len())?;
    check_json("metadata", &metadata)?;
    Ok(EventText { metadata, tags })
}

fn check_size(event: &NewEvent, bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_EVENT_BYTES {
        return Err(invalid(format!(
            "event {} has {bytes} bytes, more than {MAX_EVENT_BYTES}",
            event.id
        )));
    }
    Ok(())
}

fn joined<'a>(mut words: impl Iterator<Item = &'a str>) -> String {
    let mut joined = words.next().unwrap_or_default().to_owned();
    for word in words {
        joined.push(' ');
        joined.push_str(word);
    }
    joined
}

/// Rejects the NUL character, which Postgres cannot store in text. Also rejects half a surrogate
/// pair, which no reader can decode, and nesting that could exhaust a parser's stack.
fn check_json(what: &str, json: &str) -> Result<(), StoreError> {
    // Most texts have no escape and few brackets. This count scans many bytes at a time.
    let opening = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opening <= MAX_JSON_DEPTH && !json.as_bytes().contains(&b'\\') {
        return Ok(());
    }
    let (mut depth, mut in_string) = (0_usize, false);
    let mut bytes = json.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (in_string, byte) {
            (true, b'\\') => {
                let escape = &json.as_bytes()[at..];
                let rest_of_pair = match utf16_unit(escape) {
                    Some(0) => return Err(invalid(format!("its {what} has the character NUL"))),
                    Some(0xD800..=0xDBFF)
                        if matches!(
                            escape.get(6..).and_then(utf16_unit),
                            Some(0xDC00..=0xDFFF)
                        ) =>
                    {
                        10
                    }
                    Some(0xD800..=0xDFFF) => {
                        return Err(invalid(format!("its {what} has half a surrogate pair")));
                    }
                    _ => 0,
                };
                bytes.nth(rest_of_pair);
            }
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_JSON_DEPTH {
            return Err(invalid(format!("its {what} is nested deeper than {MAX_JSON_DEPTH}")));
        }
    }
    Ok(())
}

/// Returns the UTF-16 unit of an escape like `\u0041` at the start of the text.
fn utf16_unit(escape: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

/// Groups the changes by value: at most one releases it, then at most one takes it.
fn reservation_steps(changes: &[ReservationChange]) -> Result<Vec<ReservationStep>, StoreError> {
    let mut steps: Vec<ReservationStep> = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let (reservation, owner, takes) = match change {
            ReservationChange::Take { reservation, owner } => (reservation, owner, true),
            ReservationChange::Release { reservation, owner } => (reservation, owner, false),
        };
        if reservation.scope.is_empty()
            || reservation.scope.len() > MAX_SCOPE_LEN
            || reservation.scope.contains('\0')
        {
            return Err(invalid(format!(
                "a reservation's scope has 1 to {MAX_SCOPE_LEN} bytes and no NUL"
            )));
        }
        match steps.iter_mut().find(|s| s.reservation == *reservation) {
            None => steps.push(ReservationStep {
                index,
                reservation: reservation.clone(),
                release: (!takes).then(|| owner.clone()),
                take: takes.then(|| owner.clone()),
            }),
            Some(step) if takes && step.take.is_none() => {
                step.index = index;
                step.take = Some(owner.clone());
            }
            Some(_) => {
                return Err(invalid(format!(
                    "reservation {index}: a value is given back at most once, then taken at most \
                        once"
                )));
            }
        }
    }
    Ok(steps)
}

/// Returns the subjects of the append, each once: those it names and the ids of streams that take a
/// reservation. An erasure releases the reservations of streams with the subject's id, so those
/// count too.
fn subjects(append: &Append, reservations: &[ReservationStep]) -> Result<Vec<Uuid>, StoreError> {
    let taking = reservations.iter().filter_map(|step| step.take.as_ref()?.id().parse().ok());
    let mut subjects: Vec<Uuid> = append.subjects.iter().copied().chain(taking).collect();
    subjects.sort_unstable();
    subjects.dedup();
    if subjects.len() > MAX_SUBJECTS {
        return Err(invalid(format!(
            "it has data of {} subjects, more than {MAX_SUBJECTS}",
            subjects.len()
        )));
    }
    Ok(subjects)
}

fn item_checks(conditions: &[AppendCondition]) -> Result<Vec<ItemCheck>, StoreError> {
    let mut checks = Vec::new();
    for (condition, AppendCondition { query, after }) in conditions.iter().enumerate() {
        if query.items.is_empty() || query.items.iter().any(|item| item.tags.is_empty()) {
            return Err(invalid(format!("condition {condition} has an item that names no tag")));
        }
        checks.extend(query.items.iter().map(|item| ItemCheck {
            condition,
            tags: joined(item.tags.iter().map(Tag::as_str)),
            types: joined(item.types.iter().map(crate::event::EventType::as_str)),
            after: after.0,
            broken: None,
        }));
    }
    if checks.len() > MAX_CONDITION_ITEMS {
        return Err(invalid(format!("its conditions have more than {MAX_CONDITION_ITEMS} items")));
    }
    Ok(checks)
}
