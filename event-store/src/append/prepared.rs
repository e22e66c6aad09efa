//! An append that has passed its own rules and limits: what both stores work with. Nothing here
//! looks at the log.

use std::collections::HashSet;
use std::hash::Hash;

use uuid::Uuid;

use super::{
    Append, AppendCondition, Idempotency, ReservationChange, ReservedValue, stored_append,
};
use crate::error::StoreError;
use crate::event::{Epoch, NewEvent, Tag};
use crate::stream::StreamName;

/// The most bytes that data, metadata and tags of one event may have together.
pub const MAX_EVENT_BYTES: usize = 512 * 1024;
/// The most tags of one event.
pub const MAX_TAGS: usize = 32;
/// How deep the JSON of an event or an answer may be nested.
pub const MAX_JSON_DEPTH: usize = 64;
/// The most events of one append.
pub const MAX_EVENTS: usize = 1_000;
/// The most bytes of one append, all events and the stored answer together.
pub const MAX_APPEND_BYTES: usize = 4 * 1024 * 1024;
/// The most streams, and the most reservations, of one append.
pub const MAX_STREAMS: usize = 256;
/// The most items of all conditions of one append.
pub const MAX_CONDITION_ITEMS: usize = 256;
/// The most bytes of a reservation's scope.
pub const MAX_SCOPE_LEN: usize = 64;
/// The most subjects whose data one append may bring.
pub const MAX_SUBJECTS: usize = 4_096;

/// A valid append, with what is derived from it.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The same whenever this append is sent, so that a batch whose answer was lost can be sent
    /// again.
    pub(crate) append_id: Uuid,
    pub(crate) append: Append,
    /// Per event in order of streams: metadata as JSON, tags joined by blanks.
    pub(crate) texts: Vec<EventText>,
    pub(crate) reservations: Vec<ReservationStep>,
    /// Per item of each condition in order.
    pub(crate) checks: Vec<ItemCheck>,
    /// Who must not be erased, each once: [`Append::subjects`], and those who take a reservation.
    pub(crate) subjects: Vec<Uuid>,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct EventText {
    pub(crate) metadata: String,
    pub(crate) tags: String,
}

/// What becomes of one reserved value: given back by one, then taken by another.
#[derive(Debug)]
pub(crate) struct ReservationStep {
    /// Which of [`Append::reservations`] takes it (or else gives it back).
    pub(crate) index: usize,
    pub(crate) reservation: ReservedValue,
    pub(crate) release: Option<StreamName>,
    pub(crate) take: Option<StreamName>,
}

impl ReservationStep {
    /// Which reservation cannot be taken while `owner` holds the value, and who that is.
    pub(crate) fn refusal(&self, owner: Option<&StreamName>) -> Option<(usize, StreamName)> {
        let (take, owner) = (self.take.as_ref()?, owner?);
        let free = owner == take || self.release.as_ref() == Some(owner);
        (!free).then(|| (self.index, owner.clone()))
    }
}

/// One item of a condition, and how far it has been checked.
#[derive(Debug)]
pub(crate) struct ItemCheck {
    /// Which of [`Append::conditions`].
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
        // The first event's id will do: unique in the log, and known to whoever sends the append
        // again.
        let first = append.streams.iter().find_map(|s| s.events.first());
        let append_id = first.map_or_else(Uuid::new_v4, |event| event.id);
        Ok(Self { append_id, append, texts, reservations, checks, subjects, bytes })
    }

    /// Looks at an idempotency key as an append does, under the lock and with a commit of its own,
    /// and appends nothing: where the key is not found, no log is in the epoch that this names.
    pub(crate) fn look(idempotency: &Idempotency) -> Result<Self, StoreError> {
        Self::new(Append {
            idempotency: Some(idempotency.clone()),
            epoch: Some(Epoch(Uuid::nil())),
            ..Append::default()
        })
    }

    /// Its events in order, with their texts.
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
        return Err(invalid(format!("stream {twice} stands in it twice")));
    }
    let events = append.streams.iter().map(|s| s.events.len()).sum::<usize>();
    if events > MAX_EVENTS {
        return Err(invalid(format!("it has {events} events, more than {MAX_EVENTS}")));
    }
    for stream in append.streams.iter().filter(|s| s.events.len() > 1) {
        if stream.events.iter().rev().skip(1).any(|e| e.event_type.closes_stream()) {
            return Err(invalid(format!(
                "an event of stream {} comes after the one that closes it",
                stream.stream
            )));
        }
    }
    if let Some(twice) = twice(append.streams.iter().flat_map(|s| &s.events).map(|e| e.id)) {
        return Err(invalid(format!("event id {twice} stands in it twice")));
    }
    Ok(())
}

/// The first that stands there a second time.
fn twice<T: Eq + Hash + Copy>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    let second = all.next()?;
    // The common append has one stream and one event, and does not get here.
    let mut seen = HashSet::from([first]);
    std::iter::once(second).chain(all).find(|one| !seen.insert(*one))
}

/// Checks one event; a tag given twice counts once.
fn prepare_event(event: &mut NewEvent) -> Result<EventText, StoreError> {
    if event.schema_version < 1 {
        return Err(invalid(format!(
            "event {} has schema version {}, below 1",
            event.id, event.schema_version
        )));
    }
    // Each length before the text is looked through, byte for byte.
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

/// Refuses the character NUL, which Postgres can store in no text, half a surrogate pair, which no
/// reader can decode, and nesting that would exhaust a parser's stack.
fn check_json(what: &str, json: &str) -> Result<(), StoreError> {
    // Most texts have no escape and few brackets, which is told many bytes at a time.
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

/// What an escape like `\u0041` at the start of the text stands for.
fn utf16_unit(escape: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

/// Brings the changes of one value together: at most one gives it back, then at most one takes it.
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

/// Whose data the append brings, each once: those named, and those who take a reservation, since an
/// erasure releases the reservations of streams with the subject's id.
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
