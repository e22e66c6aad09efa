//! The proof of an erasure, to be printed: what was erased, when, by whom, and that nothing
//! readable is left, as far as this can reach.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::erase::{EraseError, subject_stream};
use super::keys::{StoredKey, SubjectKeyStore};
use super::marked::{self, Content};
use crate::event::{Epoch, EventRef, Position, RecordedEvent};
use crate::query::Filter;
use crate::store::EventStore;
use crate::stream::Version;

const PAGE: u32 = 2_000;
/// The most reservations that are counted.
const RESERVATIONS: u32 = 1_000;

/// What lies outside this program's reach, named in every proof.
const OUT_OF_REACH: [&str; 5] = [
    "read models: backups made before subject.erased took effect in them, and old rows in their \
        servers' files until those are vacuumed and overwritten",
    "backups of the store of subject keys made before, for as long as they are kept: with a \
        master key they open the values in a copy of the log",
    "keyed hashes of reserved values, which the log keeps: who has the reservation key can try \
        whether a guessed value was one of them",
    "what a consumer outside has decrypted or exported",
    "keys, and states worked out with them, in the memory of processes that have not heard of it: \
        for their key lifetime, a minute by default",
];

/// The proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The subject: the person whose data it is.
    pub subject: Uuid,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// When the key was destroyed.
    pub requested_at: Option<DateTime<Utc>>,
    /// Whether the store of keys has a tombstone in the key's place.
    pub key_destroyed: bool,
    /// Which history of the log was looked at.
    pub epoch: Epoch,
    /// Where `subject.erased` stands in it.
    pub erased_at: Option<EventRef>,
    /// When it was appended.
    pub recorded_at: Option<DateTime<Utc>>,
    /// How many reservations were released.
    pub reservations_released: i64,
    /// How many reservations of the subject are left.
    pub reservations_left: usize,
    /// What a search of the log found.
    pub search: Search,
    /// What this proof says nothing of.
    pub out_of_reach: Vec<&'static str>,
}

/// What stands of the subject in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Search {
    /// Up to where every event was looked at.
    pub up_to: Position,
    /// How many events have personal fields of the subject.
    pub events: u64,
    /// How many of its fields are encrypted, and so unreadable for good.
    pub encrypted: u64,
    /// How many say that they are erased.
    pub erased: u64,
    /// How many can be read: the positions of their events, the first few.
    pub readable: Vec<Position>,
    /// Which events behind `subject.erased` have personal fields of the subject: the positions of
    /// the first few. The log refuses such an event.
    pub behind: Vec<Position>,
}

/// How many positions of each kind a proof names.
const MAX_NAMED: usize = 20;

impl Proof {
    /// Whether the erasure is whole: key destroyed, event appended and nothing of the subject
    /// behind it, no reservation and no readable field left.
    pub fn holds(&self) -> bool {
        let Search { readable, behind, .. } = &self.search;
        self.key_destroyed
            && self.erased_at.is_some()
            && self.reservations_left == 0
            && readable.is_empty()
            && behind.is_empty()
    }
}

/// Looks at key, ledger, log and reservations. `store` is the log as it is stored, without a vault
/// in front of it. It reads the whole log.
///
/// # Errors
/// [`EraseError`].
pub async fn prove(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
    subject: Uuid,
) -> Result<Proof, EraseError> {
    let entry = keys.entry(subject).await?;
    let key_destroyed = keys.find(&[subject]).await?.first() == Some(&Some(StoredKey::Destroyed));
    let told =
        store.read_stream(&subject_stream(subject)?, Version::NONE, 1).await?.into_iter().next();
    let search = search(store, subject, told.as_ref().map(|event| event.position)).await?;
    let reservations_left = store.reservations_of(&subject.to_string(), RESERVATIONS).await?.len();
    Ok(Proof {
        subject,
        requested_by: entry.as_ref().map(|entry| entry.requested_by.clone()),
        requested_at: entry.as_ref().map(|entry| entry.requested_at),
        key_destroyed,
        epoch: store.head().await?.epoch,
        erased_at: told.as_ref().map(RecordedEvent::mark),
        recorded_at: told.map(|event| event.recorded_at),
        reservations_released: entry.map_or(0, |entry| entry.reservations_released),
        reservations_left,
        search,
        out_of_reach: OUT_OF_REACH.to_vec(),
    })
}

/// Whether there is anything of a subject to erase: a key or what was one, a reservation, or a
/// field in the log. Where none of the first is, it reads the whole log.
///
/// # Errors
/// [`EraseError`].
pub async fn is_known(
    store: &dyn EventStore,
    keys: &dyn SubjectKeyStore,
    subject: Uuid,
) -> Result<bool, EraseError> {
    let has_key = keys.entry(subject).await?.is_some()
        || keys.find(&[subject]).await?.iter().any(Option::is_some);
    Ok(has_key
        || !store.reservations_of(&subject.to_string(), 1).await?.is_empty()
        || !store.read_stream(&subject_stream(subject)?, Version::NONE, 1).await?.is_empty()
        || search(store, subject, None).await?.events > 0)
}

async fn search(
    store: &dyn EventStore,
    subject: Uuid,
    erased_at: Option<Position>,
) -> Result<Search, EraseError> {
    let head = store.head().await?.mark.position;
    let id = subject.to_string();
    let mut search = Search::default();
    while search.up_to < head {
        let page = store.read(&Filter::All, search.up_to, PAGE).await?;
        let Some(last) = page.last() else { break };
        search.up_to = last.position;
        for event in page.iter().filter(|event| event.data.get().contains(&id)) {
            search.look_at(event, subject, erased_at);
        }
    }
    Ok(search)
}

impl Search {
    fn look_at(&mut self, event: &RecordedEvent, subject: Uuid, erased_at: Option<Position>) {
        let Ok(fields) = marked::fields(event.data.get()) else {
            // A reserved name in a wrong place: nobody can say that nothing readable is in it.
            return self.found_readable(event.position);
        };
        let before = (self.encrypted, self.erased, self.readable.len());
        for field in fields.iter().filter(|field| field.subject == subject) {
            match field.content {
                Content::Encrypted(_) => self.encrypted += 1,
                Content::Erased => self.erased += 1,
                Content::Plain(_) => self.found_readable(event.position),
            }
        }
        if before != (self.encrypted, self.erased, self.readable.len()) {
            self.events += 1;
            if erased_at.is_some_and(|erased_at| event.position > erased_at)
                && self.behind.len() < MAX_NAMED
            {
                self.behind.push(event.position);
            }
        }
    }

    fn found_readable(&mut self, position: Position) {
        if self.readable.len() < MAX_NAMED && self.readable.last() != Some(&position) {
            self.readable.push(position);
        }
    }
}

fn named(positions: &[Position]) -> String {
    if positions.is_empty() {
        return "none".to_owned();
    }
    let positions: Vec<String> = positions.iter().map(ToString::to_string).collect();
    format!("AT POSITIONS {}", positions.join(", "))
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |done: bool| if done { "yes" } else { "NO" };
        let or_never = |time: Option<DateTime<Utc>>| {
            time.map_or_else(|| "never".to_owned(), |time| time.to_rfc3339())
        };
        writeln!(
            f,
            "Erasure of subject {}: {}",
            self.subject,
            if self.holds() { "complete" } else { "NOT COMPLETE" }
        )?;
        writeln!(f, "  asked for by       {}", self.requested_by.as_deref().unwrap_or("nobody"))?;
        writeln!(
            f,
            "  key destroyed      {} ({})",
            yes(self.key_destroyed),
            or_never(self.requested_at)
        )?;
        match self.erased_at {
            Some(mark) => writeln!(
                f,
                "  in the log         position {} ({})",
                mark.position,
                or_never(self.recorded_at)
            )?,
            None => writeln!(f, "  in the log         NO: subject.erased is not appended")?,
        }
        writeln!(f, "  epoch of the log   {}", self.epoch)?;
        writeln!(
            f,
            "  unique reservations      {} released, {} left",
            self.reservations_released, self.reservations_left
        )?;
        let Search { up_to, events, encrypted, erased, readable, behind } = &self.search;
        writeln!(
            f,
            "  events searched    1 to {up_to}: {events} with personal fields of the subject, \
                {encrypted} encrypted for good, {erased} erased"
        )?;
        writeln!(f, "  readable fields    {}", named(readable))?;
        writeln!(f, "  fields behind it   {}", named(behind))?;
        writeln!(f, "Out of reach of this proof:")?;
        self.out_of_reach.iter().try_for_each(|what| writeln!(f, "  - {what}"))
    }
}
