//! Poison events: what a fold refuses is set aside by key, so that it hurts nothing else.
//!
//! A refused event is parked for the key whose row refused it. That key's later events are held
//! back behind it, since a fold means something in order only; a fold that commutes holds back
//! nothing. Other keys of the same event go on.
//!
//! The event is parked in the transaction of its batch, so nothing is lost between the two. The
//! key's row is marked as stale, whether the row exists yet or not, and answers that show it say
//! `meta.stale`. The owner of the partition tries parked events again with backoff, or when
//! `projector parked retry` asks. `parked skip` records that an event must never count in a row,
//! by whom and why; rebuilds, verifications and every generation follow that record.
//!
//! Two things stop the whole partition instead, because going on would hide a loss: an event that
//! cannot be read at all, and a parked set that is full.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::Position;

use super::{Reason, RowKey};

/// The most (event, key) pairs that one partition of a generation may have parked: past it the
/// partition stops.
pub const MAX_PARKED: usize = 10_000;
/// The most bytes of a cause that are kept.
const MAX_CAUSE: usize = 1_000;

/// The parked set is full.
#[derive(Debug, thiserror::Error)]
#[error(
    "{MAX_PARKED} events are parked already, and no more may be: see `projector parked list`; \
        once it is fixed, `projector parked retry`"
)]
pub struct TooManyParked;

/// An event that does not count in the row of a key for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) position: Position,
    pub(crate) key: String,
    /// Why it was refused; `None`: an earlier event of the key was.
    pub(crate) cause: Option<String>,
    /// Whether there was no such row yet.
    pub(crate) absent: bool,
}

/// Decisions that an event is never to count in the row of a key.
pub(crate) type Skips = Arc<HashSet<(Position, String)>>;

/// The parked set of some partitions of a generation while a batch is folded.
#[derive(Debug, Clone, Default)]
pub struct Parking {
    held: HashSet<String>,
    skips: Skips,
    parked: usize,
    /// Of how many partitions it is, beside the first.
    more_partitions: usize,
    careful: bool,
    apart: bool,
    found: Vec<Aside>,
}

impl Parking {
    /// Of so many pairs, which concern these keys.
    pub(crate) fn new(held: HashSet<String>, skips: Skips, parked: usize) -> Self {
        Self { held, skips, parked, ..Self::default() }
    }

    /// It is of so many partitions.
    pub(crate) fn of_partitions(mut self, partitions: usize) -> Self {
        self.more_partitions = partitions.saturating_sub(1);
        self
    }

    /// Looks out for refusals from the first event on; otherwise rows in memory are lost with the
    /// first refusal.
    pub(crate) fn careful(mut self) -> Self {
        self.careful = true;
        self
    }

    /// Saves rows apart, so that one which Postgres refuses hurts no other one: slower, and for
    /// when one was refused.
    pub(crate) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    pub(super) const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Nothing is parked or skipped: events need no second look.
    pub(super) fn is_idle(&self) -> bool {
        !self.careful && self.held.is_empty() && self.skips.is_empty()
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.held.contains(key)
    }

    pub(super) fn skips(&self, position: Position, key: &str) -> bool {
        // The key is only copied where there are decisions at all.
        !self.skips.is_empty() && self.skips.contains(&(position, key.to_owned()))
    }

    pub(super) fn refuse(
        &mut self,
        position: Position,
        key: String,
        reason: &Reason,
        absent: bool,
    ) -> Result<(), TooManyParked> {
        // A text of Postgres holds no NUL.
        let mut cause = crate::runner::chain(reason.as_ref()).replace('\0', "\u{fffd}");
        cause.truncate(cause.floor_char_boundary(MAX_CAUSE));
        self.held.insert(key.clone());
        self.add(Aside { position, key, cause: Some(cause), absent })
    }

    pub(super) fn hold_back(
        &mut self,
        position: Position,
        key: String,
        absent: bool,
    ) -> Result<(), TooManyParked> {
        self.add(Aside { position, key, cause: None, absent })
    }

    /// The keys that lack an event.
    pub(super) fn held_keys<K: RowKey>(&self) -> impl Iterator<Item = K> {
        self.held.iter().filter_map(|text| K::parse(text))
    }

    /// Takes back what was set aside for a key since it was as it was `before`.
    pub(super) fn forget(&mut self, key: &str, before: &Self) {
        let mut number = 0;
        let set_aside = self.found.len();
        self.found.retain(|aside| {
            number += 1;
            number <= before.found.len() || aside.key != key
        });
        self.parked -= set_aside - self.found.len();
        if !before.holds(key) {
            self.held.remove(key);
        }
    }

    fn add(&mut self, aside: Aside) -> Result<(), TooManyParked> {
        if self.parked >= MAX_PARKED.saturating_mul(1 + self.more_partitions) {
            return Err(TooManyParked);
        }
        self.parked += 1;
        self.found.push(aside);
        Ok(())
    }

    /// How much was set aside since it was last asked.
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// Whether an event of this key is among what was set aside after the first so many.
    pub(super) fn found_of(&self, key: &str, after: usize) -> bool {
        self.found.iter().skip(after).any(|aside| aside.key == key)
    }

    /// What was set aside since it was last asked.
    pub(crate) fn take_found(&mut self) -> Vec<Aside> {
        std::mem::take(&mut self.found)
    }
}
