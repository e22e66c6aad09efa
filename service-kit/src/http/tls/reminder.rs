//! Repeats a warning: at once when its reason begins, and then every day until the reason ends.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The time between two warnings with the same reason.
const AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// The last warning and its time.
#[derive(Debug)]
pub(super) struct Reminder<T>(Mutex<Option<(T, DateTime<Utc>)>>);

impl<T> Default for Reminder<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy + PartialEq> Reminder<T> {
    /// The warning that is due now, given the reason that holds now.
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
    fn a_warning_comes_at_once_then_daily_and_again_after_its_reason_had_ended() {
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
