//! Who follows what, and which event changes which row. Both follow from numbers, so each client
//! knows what it must get.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use uuid::Uuid;

use crate::bench::queries::fill::{POSITION, order_id, user_id};

/// The numbers of clients, rows and events.
#[derive(Debug)]
pub(super) struct Plan {
    /// The number of clients that follow everything.
    everything: u64,
    /// The number of orders, and of users.
    rows: u64,
    /// How often each row is changed.
    rounds: u64,
}

/// What a stream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// One row of this kind, by its number.
    Row(Kind, u64),
    /// All rows of this kind.
    All(Kind),
}

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Order,
    User,
}

/// The number of the next event that each stream of everything waits for.
#[derive(Debug)]
pub(super) struct Progress(Vec<AtomicU64>);

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Order, Self::User];
    const COUNT: u64 = 2;

    /// The projection that its rows are in, as paths name it.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::User => "users",
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::Order => 0,
            Self::User => 1,
        }
    }
}

impl Subject {
    pub(super) const fn is_row(self) -> bool {
        matches!(self, Self::Row(..))
    }

    /// The path of its stream.
    pub(super) fn path(self) -> String {
        match self {
            Self::Row(kind, row) => format!("/api/v1/{}/{}", kind.plural(), id(kind, row)),
            Self::All(kind) => format!("/api/v1/{}?page_size=1", kind.plural()),
        }
    }
}

/// The id of a row.
pub(super) fn id(kind: Kind, row: u64) -> Uuid {
    let number = i64::try_from(row).unwrap_or(i64::MAX);
    match kind {
        Kind::Order => order_id(number),
        Kind::User => user_id(number),
    }
}

/// The position of an event.
pub(super) fn position(event: u64) -> i64 {
    POSITION + 1 + i64::try_from(event).unwrap_or(i64::MAX)
}

/// The number of the event at a position.
pub(super) fn event(position: i64) -> Option<u64> {
    u64::try_from(position - POSITION - 1).ok()
}

impl Plan {
    pub(super) fn new(clients: usize, everything: u32, rounds: u32) -> anyhow::Result<Self> {
        let (clients, everything) = (u64::try_from(clients)?, u64::from(everything));
        let of_everything = everything * Kind::COUNT;
        ensure!(of_everything < clients, "{clients} clients are too few for {of_everything}");
        let rows = (clients - of_everything) / Kind::COUNT;
        Ok(Self { everything, rows, rounds: rounds.into() })
    }

    /// The number of clients.
    pub(super) fn clients(&self) -> usize {
        usize::try_from((self.everything + self.rows) * Kind::COUNT).unwrap_or(usize::MAX)
    }

    /// The number of orders, and of users.
    pub(super) fn rows(&self) -> i64 {
        i64::try_from(self.rows).unwrap_or(i64::MAX)
    }

    /// The number of events.
    pub(super) const fn events(&self) -> u64 {
        self.round() * self.rounds
    }

    /// The number of events after which each row was changed once more.
    pub(super) const fn round(&self) -> u64 {
        self.rows * Kind::COUNT
    }

    /// What a client follows, by its number.
    pub(super) fn subject(&self, client: usize) -> Subject {
        let client = client as u64;
        let kind = if client.is_multiple_of(Kind::COUNT) { Kind::Order } else { Kind::User };
        match (client / Kind::COUNT).checked_sub(self.everything) {
            Some(row) => Subject::Row(kind, row),
            None => Subject::All(kind),
        }
    }

    /// The row that an event changes.
    pub(super) const fn changed(&self, event: u64) -> (Kind, u64) {
        let kind = if event.is_multiple_of(Kind::COUNT) { Kind::Order } else { Kind::User };
        (kind, event / Kind::COUNT % self.rows)
    }

    /// How often the row of an event is changed by then.
    pub(super) const fn changes(&self, event: u64) -> u64 {
        event / self.round() + 1
    }

    /// The first event that a client gets, and how many there are from one to the next.
    pub(super) const fn events_of(&self, subject: Subject) -> (u64, u64) {
        match subject {
            Subject::Row(kind, row) => (row * Kind::COUNT + kind.number(), self.round()),
            Subject::All(kind) => (kind.number(), Kind::COUNT),
        }
    }

    /// Nobody has got anything yet.
    pub(super) fn progress(&self) -> Progress {
        let streams = self.everything * Kind::COUNT;
        Progress((0..streams).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Progress {
    /// The stream of everything of this client waits for an event.
    pub(super) fn record(&self, client: usize, event: u64) {
        if let Some(stream) = self.0.get(client) {
            stream.store(event, Ordering::Release);
        }
    }

    /// The event up to which all of them got theirs.
    pub(super) fn least(&self) -> u64 {
        let streams = self.0.iter().map(|stream| stream.load(Ordering::Acquire));
        streams.min().unwrap_or_default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} clients, {} streams of everything, {} events",
            self.clients(),
            self.everything * Kind::COUNT,
            self.events()
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_event_is_for_those_who_follow_its_row_or_everything() {
        let plan = Plan::new(20, 2, 3).unwrap();
        assert_eq!((plan.clients(), plan.events()), (20, 48));
        for client in 0..plan.clients() {
            let subject = plan.subject(client);
            let (first, step) = plan.events_of(subject);
            for event in 0..plan.events() {
                let (kind, row) = plan.changed(event);
                let is_of = match subject {
                    Subject::Row(of, number) => of == kind && number == row,
                    Subject::All(of) => of == kind,
                };
                let is_expected = event >= first && (event - first).is_multiple_of(step);
                assert_eq!(is_of, is_expected, "{event} for {subject:?}");
            }
        }
        assert_eq!(event(position(7)), Some(7));
    }
}
