//! Remembers the events that came, so that a repeat has no effect. An event whose handling failed
//! is forgotten, so that it counts when it is sent again.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The maximum number of remembered ids. Beyond it, the oldest is forgotten.
const MAX_REMEMBERED: usize = 100_000;

/// The ids of the events of the last minutes.
#[derive(Debug)]
pub(super) struct Replays {
    keep: TimeDelta,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    ids: HashMap<String, Known>,
    by_time: VecDeque<(DateTime<Utc>, u64, String)>,
    claims: u64,
}

/// An event that came.
#[derive(Debug)]
struct Known {
    /// The number of its claim. An id that was forgotten and comes again has another one.
    claim: u64,
    is_done: bool,
}

/// The answer to whether an event may be acted on.
#[derive(Debug)]
pub(super) enum Claimed {
    /// It came for the first time.
    First(Claim),
    /// Another request is acting on it.
    UnderWay,
    /// It came before, and was acted on.
    Done,
}

/// The right to act on an event. Only one request has it at a time. If it is dropped without
/// [`done`](Self::done), the event is forgotten, and counts when it is sent again.
pub struct Claim {
    seen: Arc<Mutex<Seen>>,
    number: u64,
    id: String,
    is_done: bool,
}

impl Replays {
    /// Remembers ids for this time.
    pub(super) fn new(keep: TimeDelta) -> Self {
        Self { keep, seen: Arc::default() }
    }

    /// Claims an id.
    pub(super) fn claim(&self, id: &str, now: DateTime<Utc>) -> Claimed {
        let mut seen = lock(&self.seen);
        while seen.by_time.front().is_some_and(|(at, ..)| now - *at > self.keep)
            || seen.by_time.len() >= MAX_REMEMBERED
        {
            let Some((_, claim, oldest)) = seen.by_time.pop_front() else { break };
            seen.forget(&oldest, claim);
        }
        match seen.ids.get(id) {
            Some(Known { is_done: true, .. }) => return Claimed::Done,
            Some(Known { is_done: false, .. }) => return Claimed::UnderWay,
            None => {}
        }
        seen.claims += 1;
        let number = seen.claims;
        seen.ids.insert(id.to_owned(), Known { claim: number, is_done: false });
        seen.by_time.push_back((now, number, id.to_owned()));
        let seen = Arc::clone(&self.seen);
        Claimed::First(Claim { seen, number, id: id.to_owned(), is_done: false })
    }
}

impl Seen {
    /// Forgets an id, unless it was claimed again since.
    fn forget(&mut self, id: &str, claim: u64) {
        if self.ids.get(id).is_some_and(|known| known.claim == claim) {
            self.ids.remove(id);
        }
    }
}

impl Claim {
    /// Records that the event was acted on, so that a repeat has no effect.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut seen = lock(&self.seen);
        if !self.is_done {
            seen.forget(&self.id, self.number);
        } else if let Some(known) = seen.ids.get_mut(&self.id)
            && known.claim == self.number
        {
            known.is_done = true;
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({})", self.id)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims an id. Returns whether it is the first time, and then acts on the event.
    fn is_first(replays: &Replays, id: &str, now: DateTime<Utc>) -> bool {
        match replays.claim(id, now) {
            Claimed::First(claim) => {
                claim.done();
                true
            }
            Claimed::UnderWay | Claimed::Done => false,
        }
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    #[test]
    fn an_id_is_remembered_for_a_time_and_not_without_limit() {
        let replays = Replays::new(TimeDelta::minutes(10));
        assert!(is_first(&replays, "a", at(0)) && !is_first(&replays, "a", at(10)));
        assert!(is_first(&replays, "a", at(11)));
        for number in 0..MAX_REMEMBERED {
            assert!(is_first(&replays, &number.to_string(), at(12)));
        }
        assert!(is_first(&replays, "a", at(12)), "the oldest one was forgotten");
        assert!(!is_first(&replays, "99999", at(12)));
    }

    #[test]
    fn an_id_whose_claim_failed_is_free_and_then_remembered_for_its_whole_time() {
        let replays = Replays::new(TimeDelta::minutes(10));
        let Claimed::First(failing) = replays.claim("a", at(0)) else { panic!("it is new") };
        assert!(matches!(replays.claim("a", at(1)), Claimed::UnderWay));
        drop(failing);
        let Claimed::First(claim) = replays.claim("a", at(5)) else { panic!("it is free") };
        // The time of the failed claim is over, that of the second one is not.
        assert!(matches!(replays.claim("a", at(11)), Claimed::UnderWay));
        claim.done();
        assert!(matches!(replays.claim("a", at(15)), Claimed::Done));
        assert!(is_first(&replays, "a", at(16)));
    }

    #[test]
    fn a_claim_that_ends_late_does_not_end_the_next_one_of_the_same_id() {
        let replays = Replays::new(TimeDelta::minutes(10));
        let Claimed::First(late) = replays.claim("a", at(0)) else { panic!("it is new") };
        let Claimed::First(_second) = replays.claim("a", at(11)) else { panic!("it is free") };
        drop(late);
        assert!(matches!(replays.claim("a", at(12)), Claimed::UnderWay));
    }
}
