//! The state of the model: the log, the work tables, two drivers, the network, and another system.
//! Everything is a value, so that the checker can compare states.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use saga::instance::Part;
use uuid::Uuid;

use super::book::{Book, Called, Known, Noted, Said, Time};
use super::judge::Fault;

/// An entry of the log, as the fold sees it. Its position is its place, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// What starts the instance.
    Wanted,
    Said(Said),
    /// An append to the instance's stream.
    Own {
        version: u8,
        started: bool,
        ended: bool,
        received: u8,
    },
}

/// When a row is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Due {
    Never,
    At(Time),
    /// Long after everything else: the row of an instance that has ended.
    Someday,
}

impl Due {
    /// The earlier of the two.
    pub(super) fn by(self, now: Time) -> Self {
        match self {
            Self::At(at) => Self::At(at.min(now)),
            Self::Never | Self::Someday => Self::At(now),
        }
    }
}

impl From<Option<Time>> for Due {
    fn from(at: Option<Time>) -> Self {
        at.map_or(Self::Never, Self::At)
    }
}

/// The instance's row in the work table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) driver: Option<u8>,
    pub(super) version: u8,
    pub(super) due: Due,
    pub(super) news: u8,
    pub(super) begun: bool,
}

impl Row {
    pub(super) fn due_at(now: Time) -> Self {
        Self { driver: None, version: 0, due: Due::At(now), news: 0, begun: false }
    }
}

/// What a driver took from the work table.
#[derive(Debug, Clone, PartialEq, Hash, Default)]
pub(super) struct Job {
    pub(super) begun: bool,
    pub(super) signals: Vec<(u8, Said)>,
    pub(super) news: u8,
    /// Whether it has appended anything.
    pub(super) moved: bool,
}

/// The instance as a driver loaded it.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct Loaded {
    /// The version that it loaded or appended.
    pub(super) version: u8,
    /// The state, with the events that are not appended yet.
    pub(super) known: Known,
    pub(super) pending: Vec<Noted>,
    /// The calls whose outcome it waits for.
    pub(super) calls: BTreeSet<Called>,
}

/// What a driver does.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) enum Driver {
    Idle,
    /// Took the instance, and is to load it.
    Claimed(Job),
    Driving(Job, Loaded),
    /// Is to give it back. Whether the log gave no answer.
    Rested(Job, Loaded, bool),
}

/// A call on its way. It may arrive when nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) who: Option<usize>,
    pub(super) call: Called,
}

/// How often a step took effect, and how often that was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Effect {
    pub(super) made: u8,
    pub(super) undone: u8,
}

/// How many faults may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Budget {
    /// Crashes, lost leases, lost answers of the log, lost tables and repeated events.
    pub(super) faults: u8,
    /// Calls that do not succeed at once.
    pub(super) moods: u8,
    /// Decisions of people.
    pub(super) people: u8,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct State {
    pub(super) clock: Time,
    /// The instance's stream, folded, and its version.
    pub(super) stream: Known,
    pub(super) version: u8,
    pub(super) log: Vec<Entry>,
    /// The checkpoint of the fold: the number of entries.
    pub(super) folded: usize,
    /// Only in a mutant: the checkpoint is committed, and the rows from this entry on are not.
    pub(super) unwritten: Option<usize>,
    pub(super) row: Option<Row>,
    /// The signals that wait, by position.
    pub(super) signals: BTreeMap<u8, Said>,
    pub(super) drivers: [Driver; 2],
    pub(super) network: BTreeSet<Request>,
    /// What steps did: inside in the log, outside in the other system.
    pub(super) effects: BTreeMap<&'static str, Effect>,
    /// The other system's outcome of each key, the keys it was called with, and what it accepted
    /// and will do later.
    pub(super) outcomes: BTreeMap<Uuid, bool>,
    pub(super) keys: BTreeSet<Called>,
    pub(super) accepted: BTreeSet<Called>,
    /// What went wrong in the log.
    pub(super) faults: BTreeSet<Fault>,
    /// Whether an append was refused because another driver was faster.
    pub(super) overtaken: bool,
    pub(super) left: Budget,
}

/// Who owns the row of a driver that crashed.
pub(super) const GHOST: u8 = 9;

impl State {
    /// The instance is wanted, and nothing has happened yet.
    pub(super) fn new(book: &Book, left: Budget) -> Self {
        Self {
            clock: DateTime::UNIX_EPOCH,
            stream: book.absent(),
            version: 0,
            log: vec![Entry::Wanted],
            folded: 0,
            unwritten: None,
            row: None,
            signals: BTreeMap::new(),
            drivers: [Driver::Idle, Driver::Idle],
            network: BTreeSet::new(),
            effects: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            keys: BTreeSet::new(),
            accepted: BTreeSet::new(),
            faults: BTreeSet::new(),
            overtaken: false,
            left,
        }
    }

    pub(super) fn is_folded(&self) -> bool {
        self.folded == self.log.len() && self.unwritten.is_none()
    }

    /// Adds an event of the outside to the log.
    pub(super) fn say(&mut self, said: Said) {
        self.log.push(Entry::Said(said));
    }

    pub(super) fn effect(&self, step: &str) -> Effect {
        self.effects.get(step).copied().unwrap_or_default()
    }

    /// The step takes effect, or is undone if there is something to undo.
    pub(super) fn take_effect(&mut self, call: &Called) {
        let effect = self.effects.entry(call.step).or_default();
        match call.part {
            Part::Action => effect.made += 1,
            Part::Compensation if effect.made > effect.undone => {
                effect.undone += 1;
            }
            Part::Compensation => {}
        }
    }
}
