//! Which rows a client of a filtered list has, so that it is told which ones leave.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The maximum number of rows that are known of one client. Beyond it, the client gets
/// `left` for every changed row that does not match.
const MAX_MEMBERS: usize = 4_096;

/// The rows that a client has.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    ids: HashSet<Uuid>,
    /// Whether the client has no other rows than these.
    is_whole: bool,
    /// Whether there were too many to know.
    is_over: bool,
    /// The position up to which the client drops changes, because it has read them.
    at: i64,
}

impl Known {
    fn add(&mut self, id: Uuid) {
        if self.is_over {
            return;
        }
        self.ids.insert(id);
        if self.ids.len() > MAX_MEMBERS {
            *self = Self { is_over: true, at: self.at, ..Self::default() };
        }
    }
}

impl Members {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client gets this row.
    pub(super) fn add(&self, id: Uuid) {
        self.known().add(id);
    }

    /// The row no longer matches since this position. Returns whether the client may have it.
    pub(super) fn remove(&self, id: Uuid, position: i64) -> bool {
        let mut known = self.known();
        if position <= known.at {
            return true;
        }
        let had = known.ids.remove(&id);
        had || known.is_over || !known.is_whole
    }

    /// The client got these rows as of the position `at`, and has no others if `is_whole`.
    pub(super) fn know(&self, ids: impl Iterator<Item = Uuid>, is_whole: bool, at: i64) {
        let mut known = self.known();
        known.at = at;
        ids.for_each(|id| known.add(id));
        known.is_whole = is_whole && !known.is_over;
    }

    /// Nothing is known of the client any more.
    pub(super) fn forget(&self) {
        *self.known() = Known::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_of_rows_that_it_has_or_may_have() {
        let (members, [one, two]) = (Members::default(), [1, 2].map(Uuid::from_u128));
        assert!(members.remove(one, 1), "nothing is known yet");
        members.know([one].into_iter(), true, 5);
        assert!(members.remove(one, 5), "an older change takes away nothing");
        assert!(members.remove(one, 6) && !members.remove(one, 6) && !members.remove(two, 6));
        members.add(two);
        assert!(members.remove(two, 7));
        members.know((0..=MAX_MEMBERS as u128).map(Uuid::from_u128), true, 8);
        assert!(members.remove(Uuid::from_u128(u128::MAX), 9), "there are too many to know");
    }
}
