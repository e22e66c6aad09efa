//! Remembers which events came already, so that nobody can send one again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The maximum number of remembered ids. Beyond it, the oldest is forgotten.
const MAX_REMEMBERED: usize = 100_000;

/// The ids of the events of the last minutes.
#[derive(Debug)]
pub(super) struct Replays {
    keep: TimeDelta,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<String>,
    by_time: VecDeque<(DateTime<Utc>, String)>,
}

impl Replays {
    /// Remembers ids for this time.
    pub(super) fn new(keep: TimeDelta) -> Self {
        Self { keep, seen: Mutex::default() }
    }

    /// Remembers an id. Returns false if it is remembered already.
    pub(super) fn is_first(&self, id: &str, now: DateTime<Utc>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.by_time.front().is_some_and(|(at, _)| now - *at > self.keep)
            || seen.by_time.len() >= MAX_REMEMBERED
        {
            let Some((_, oldest)) = seen.by_time.pop_front() else { break };
            seen.ids.remove(&oldest);
        }
        let is_first = seen.ids.insert(id.to_owned());
        if is_first {
            seen.by_time.push_back((now, id.to_owned()));
        }
        is_first
    }

    /// Forgets an id, so that its event is the first again when it comes next.
    pub(super) fn forget(&self, id: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.ids.remove(id) {
            seen.by_time.retain(|(_, known)| known != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_a_time_and_not_without_limit() {
        let (start, replays) = (DateTime::UNIX_EPOCH, Replays::new(TimeDelta::minutes(10)));
        let at = |minutes| start + TimeDelta::minutes(minutes);
        assert!(replays.is_first("a", at(0)) && !replays.is_first("a", at(10)));
        assert!(replays.is_first("a", at(11)));
        replays.forget("a");
        assert!(replays.is_first("a", at(11)) && !replays.is_first("a", at(11)));
        for number in 0..MAX_REMEMBERED {
            assert!(replays.is_first(&number.to_string(), at(12)));
        }
        assert!(replays.is_first("a", at(12)), "the oldest one was forgotten");
        assert!(!replays.is_first("99999", at(12)));
    }
}
