//! Says something when it begins to hold, and again every day for as long as it holds.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The time until it is said again.
const AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// What was said last, and when.
#[derive(Debug)]
pub(super) struct Reminder<T>(Mutex<Option<(T, DateTime<Utc>)>>);

impl<T> Default for Reminder<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy + PartialEq> Reminder<T> {
    /// What is to be said now of what holds now, if anything.
    pub(super) fn due(&self, holds: Option<T>, now: DateTime<Utc>) -> Option<T> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_said = |said: &(T, DateTime<Utc>)| {
            // The clock may have been set back.
            Some(said.0) == holds && now.signed_duration_since(said.1).abs() < AGAIN_AFTER
        };
        if last.as_ref().is_some_and(was_said) {
            return None;
        }
        *last = holds.map(|holds| (holds, now));
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_then_daily_and_anew_after_it_did_not_hold() {
        let reminder = Reminder::default();
        let at = |hours| DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
        for (hours, holds, due) in [
            (0, None, None),
            (1, Some('a'), Some('a')),
            (2, Some('a'), None),
            (24, Some('a'), None),
            (25, Some('a'), Some('a')),
            (26, Some('b'), Some('b')),
            (27, None, None),
            (28, Some('b'), Some('b')),
            (29, Some('b'), None),
            (2, Some('b'), Some('b')),
        ] {
            assert_eq!(reminder.due(holds, at(hours)), due, "{hours}");
        }
    }
}
