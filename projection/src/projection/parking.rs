//! Parks poison events: what a fold refuses is set aside by key, so that other keys are unaffected.
//!
//! A refused event is parked for the key whose row refused it. Later events of that key are held
//! back behind it, because a fold needs events in order. A fold that commutes holds nothing back.
//! Other keys of the same event proceed.
//!
//! The event is parked in the transaction of its batch, so nothing can be lost. The key's row is
//! marked stale, even if it does not exist yet, and answers that show it have `meta.stale`. The
//! partition's owner retries parked events with backoff, or on `projector parked retry`. `parked
//! skip` records that an event must never be applied to a row, by whom and why. Rebuilds,
//! verifications and all generations follow that record.
//!
//! Two conditions stop the whole partition, because going on would hide a loss: an event that
//! cannot be read at all, and a full parked set.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::Position;

use super::{Reason, RowKey};

/// The maximum number of parked (event, key) pairs per partition of a generation. Beyond it, the
/// partition stops.
pub const MAX_PARKED: usize = 10_000;
/// The maximum length of a stored cause, in bytes.
const MAX_CAUSE: usize = 1_000;

/// The parked set is full.
#[derive(Debug, thiserror::Error)]
#[error(
    "{MAX_PARKED} events are parked, which is the limit: see `projector parked list`; \
        once the cause is fixed, run `projector parked retry`"
)]
pub struct TooManyParked;

/// An event that is not applied to a key's row for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) position: Position,
    pub(crate) key: String,
    /// Why it was refused; `None` if it is held back behind an earlier event of the key.
    pub(crate) cause: Option<String>,
    /// Whether the row did not exist yet.
    pub(crate) absent: bool,
}

/// Decisions never to apply an event to a key's row.
pub(crate) type Skips = Arc<HashSet<(Position, String)>>;

/// The parked set of some partitions of a generation while a batch is folded.
#[derive(Debug, Clone, Default)]
pub struct Parking {
    held: HashSet<String>,
    skips: Skips,
    parked: usize,
    /// The number of partitions, not counting the first.
    more_partitions: usize,
    careful: bool,
    apart: bool,
    found: Vec<Aside>,
}

impl Parking {
    /// A parked set with `parked` pairs for these keys.
    pub(crate) fn new(held: HashSet<String>, skips: Skips, parked: usize) -> Self {
        Self { held, skips, parked, ..Self::default() }
    }

    /// Sets the number of partitions.
    pub(crate) fn of_partitions(mut self, partitions: usize) -> Self {
        self.more_partitions = partitions.saturating_sub(1);
        self
    }

    /// Watches for refusals from the first event on. Without it, the first refusal invalidates the
    /// rows in memory.
    pub(crate) fn careful(mut self) -> Self {
        self.careful = true;
        self
    }

    /// Saves rows so that a refused one does not affect others. It is slower, and used after a
    /// refusal.
    pub(crate) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    pub(super) const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Whether nothing is parked or skipped, so events need no further check.
    pub(super) fn is_idle(&self) -> bool {
        !self.careful && self.held.is_empty() && self.skips.is_empty()
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.held.contains(key)
    }

    pub(super) fn skips(&self, position: Position, key: &str) -> bool {
        // Copies the key only if there are decisions at all.
        !self.skips.is_empty() && self.skips.contains(&(position, key.to_owned()))
    }

    pub(super) fn refuse(
        &mut self,
        position: Position,
        key: String,
        reason: &Reason,
        absent: bool,
    ) -> Result<(), TooManyParked> {
        // Postgres texts cannot contain NUL.
        let mut cause = crate::chain(reason.as_ref()).replace('\0', "\u{fffd}");
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

    /// The keys of rows that lack an event.
    pub(super) fn held_keys<K: RowKey>(&self) -> impl Iterator<Item = K> {
        self.held.iter().filter_map(|text| K::parse(text))
    }

    /// Discards what was set aside for a key since the state `before`.
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

    /// The number of events set aside since the last [`Parking::take_found`].
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// Whether an event of this key was set aside after the first `after` ones.
    pub(super) fn found_of(&self, key: &str, after: usize) -> bool {
        self.found.iter().skip(after).any(|aside| aside.key == key)
    }

    /// Takes the events that were set aside since the last call.
    pub(crate) fn take_found(&mut self) -> Vec<Aside> {
        std::mem::take(&mut self.found)
    }
}
