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
}

impl Known {
    fn add(&mut self, id: Uuid) {
        if self.is_over {
            return;
        }
        self.ids.insert(id);
        if self.ids.len() > MAX_MEMBERS {
            *self = Self { is_over: true, ..Self::default() };
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

    /// The row no longer matches. Returns whether the client may have it.
    pub(super) fn remove(&self, id: Uuid) -> bool {
        let mut known = self.known();
        let had = known.ids.remove(&id);
        had || known.is_over || !known.is_whole
    }

    /// The client got these rows, and has no others if `is_whole`.
    pub(super) fn know(&self, ids: impl Iterator<Item = Uuid>, is_whole: bool) {
        let mut known = self.known();
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
        assert!(members.remove(one), "nothing is known yet");
        members.know([one].into_iter(), true);
        assert!(members.remove(one) && !members.remove(one) && !members.remove(two));
        members.add(two);
        assert!(members.remove(two));
        members.know((0..=MAX_MEMBERS as u128).map(Uuid::from_u128), true);
        assert!(members.remove(Uuid::from_u128(u128::MAX)), "there are too many to know");
    }
}
