//! The places that calls from one address hold, counted so that none holds them all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Who asks. Calls from unknown addresses count together.
type Asker = Option<IpAddr>;

/// Counts the places that each asker holds. It knows only askers that hold one.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<Asker, usize>>>,
}

/// One place of an asker. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    asker: Asker,
    held: Arc<Mutex<HashMap<Asker, usize>>>,
}

impl Shares {
    /// At most `most` places for each asker, and at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), held: Arc::default() }
    }

    /// Takes a place; `None` if the asker holds as many as one may.
    pub(super) fn take(&self, asker: Asker) -> Option<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(asker).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Share { asker, held: Arc::clone(&self.held) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = held.entry(self.asker) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_asker_has_a_share_and_nobody_is_remembered() {
        let shares = Shares::new(2);
        let askers = [None, Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into())];
        let taken: Vec<_> =
            askers.iter().flat_map(|one| [one; 2]).map(|one| shares.take(*one)).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(askers.iter().all(|one| shares.take(*one).is_none()));
        drop(taken);
        assert!(shares.held.lock().unwrap().is_empty());
        assert!(Shares::new(0).take(None).is_some(), "everybody has one");
    }
}
