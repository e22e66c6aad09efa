//! The printable proof of an erasure: what was erased, when and by whom, and that nothing readable
//! is left within this program's reach.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::erase::EraseError;
use crate::encryption::marked::{self, Content};
use crate::encryption::{StoredKey, SubjectKeyStore};
use crate::event::{Epoch, EventRef, Position, RecordedEvent};
use crate::query::Filter;
use crate::store::EventStore;
use crate::stream::Version;
use crate::subject::subject_stream;

const PAGE: u32 = 2_000;
/// The maximum number of reservations to count.
const RESERVATIONS: u32 = 1_000;

/// The data outside this program's reach. Every proof names it.
const OUT_OF_REACH: [&str; 5] = [
    "read models: backups made before subject.erased took effect in them, and old rows in their \
        servers' files until those are vacuumed and overwritten",
    "earlier backups of the store of subject keys, for as long as they are kept: with a \
        master key they decrypt the values in a copy of the log",
    "keyed hashes of reserved values, which the log keeps: with the reservation key, somebody can \
        test whether a guessed value was one of them",
    "data that an outside consumer has decrypted or exported",
    "keys, and states computed with them, in the memory of processes that have not learned of it: \
        for their key lifetime, a minute by default",
];

/// The proof of one erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The subject: the person whose data it is.
    pub subject: Uuid,
    /// The requester, as an opaque id.
    pub requested_by: Option<String>,
    /// The time when the key was destroyed.
    pub requested_at: Option<DateTime<Utc>>,
    /// Whether the key store has a tombstone in place of the key.
    pub key_destroyed: bool,
    /// The epoch of the log that was searched.
    pub epoch: Epoch,
    /// The position and id of `subject.erased` in that epoch.
    pub erased_at: Option<EventRef>,
    /// The time when `subject.erased` was appended.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The number of reservations that were released.
    pub reservations_released: i64,
    /// The number of reservations of the subject that are left.
    pub reservations_left: usize,
    /// The result of the search of the log.
    pub search: Search,
    /// What other stores of the system still hold of the subject.
    #[serde(default)]
    pub elsewhere: Vec<Elsewhere>,
    /// The data that this proof does not cover.
    pub out_of_reach: Vec<Cow<'static, str>>,
}

/// What another store of the system holds of a subject, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The name of the store.
    pub store: Cow<'static, str>,
    /// The number of rows that hold something of the subject.
    pub rows_left: u64,
}

/// The result of searching the log for a subject's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Search {
    /// The position up to which every event was searched.
    pub up_to: Position,
    /// The number of events with personal fields of the subject.
    pub events: u64,
    /// The number of encrypted fields of the subject, which are unreadable for good.
    pub encrypted: u64,
    /// The number of fields that are stored as erased.
    pub erased: u64,
    /// The positions of the first few events with readable fields.
    pub readable: Vec<Position>,
    /// The positions of the first few events after `subject.erased` that have personal fields of
    /// the subject. The log refuses such events.
    pub behind: Vec<Position>,
}

/// The maximum number of positions of each kind in a proof.
const MAX_NAMED: usize = 20;

impl Proof {
    /// Whether the erasure is complete. The key must be destroyed and the event appended, with no
    /// data of the subject after it, no reservation, no readable field and no row elsewhere left.
    pub fn holds(&self) -> bool {
        let Search { readable, behind, .. } = &self.search;
        self.key_destroyed
            && self.erased_at.is_some()
            && self.reservations_left == 0
            && readable.is_empty()
            && behind.is_empty()
            && self.elsewhere.iter().all(|elsewhere| elsewhere.rows_left == 0)
    }
}

/// Proves an erasure from key, ledger, log and reservations. `store` is the stored log, without a
/// vault in front. It reads the whole log.
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
        elsewhere: Vec::new(),
        out_of_reach: OUT_OF_REACH.map(Cow::Borrowed).to_vec(),
    })
}

/// Whether a subject has anything to erase: a key, a tombstone, a reservation, or a field in the
/// log. It reads the whole log if the first three are missing.
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
            // A reserved name is in a wrong place, so this may contain readable data.
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
        for Elsewhere { store, rows_left } in &self.elsewhere {
            writeln!(f, "  {store:<18} {rows_left} rows left")?;
        }
        writeln!(f, "Out of reach of this proof:")?;
        self.out_of_reach.iter().try_for_each(|what| writeln!(f, "  - {what}"))
    }
}
