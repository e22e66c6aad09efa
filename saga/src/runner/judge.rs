//! What a drive of an instance means for its row.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::driver::{DriveError, Rest};
use crate::instance::Status;
use crate::instance::data::short;
use crate::telemetry;
use crate::work::release::Done;
use crate::work::{Claimed, MAX_SIGNALS};

/// How long the row of an ended instance may wait for the fold to delete it.
const CLEAN_UP: Duration = Duration::from_mins(1);
/// How often a process that lacks a definition looks at an instance again. Another process may have
/// the definition.
pub(super) const FOREIGN_AGAIN: Duration = Duration::from_secs(5);
/// The number of such looks. Then the instance is parked.
pub(super) const FOREIGN_LOOKS: i32 = 12;
/// The first pause after a failure, and the longest.
const FAILED_FIRST: Duration = Duration::from_millis(200);
const FAILED_MOST: Duration = Duration::from_secs(30);

/// What to write about an instance that came to rest.
pub(super) fn rested(claimed: &Claimed, rest: Rest, now: DateTime<Utc>) -> Done {
    let heard = claimed.signals.last().map_or(0, |(position, _)| *position).max(rest.last_signal);
    let more = i64::try_from(claimed.signals.len()).is_ok_and(|count| count >= MAX_SIGNALS);
    let due_at = match rest.status {
        _ if more => Some(now),
        status if status.is_end() => Some(now + CLEAN_UP),
        _ => rest.due_at,
    };
    if rest.moved && rest.status.is_end() {
        telemetry::ended(&claimed.saga, rest.status.as_str());
    }
    let over = rest.status == Status::Absent || (rest.status.is_end() && !rest.moved);
    Done {
        id: claimed.id,
        version: rest.version,
        status: rest.status.as_str(),
        definition: rest.definition,
        key: rest.key,
        waits_for: rest.waits_for,
        reason: rest.reason,
        due_at,
        heard,
        moved: rest.moved,
        failures: 0,
        news: claimed.news,
        forgotten: over && !more,
    }
}

/// What to write about an instance whose definition no process has, after it was parked. Its
/// signals wait until a process has the definition again, so it is looked at from time to time.
pub(super) fn lacking(claimed: &Claimed, rest: Rest, now: DateTime<Utc>) -> Done {
    let forgotten = rest.status.is_end() && claimed.signals.is_empty();
    Done {
        due_at: Some(now + CLEAN_UP),
        heard: rest.last_signal,
        // The next look does not count them again.
        failures: claimed.failures,
        forgotten,
        ..rested(claimed, rest, now)
    }
}

/// What to write about an instance that could not be driven.
pub(super) fn failed(claimed: &Claimed, error: &DriveError, now: DateTime<Utc>) -> Done {
    let failures = claimed.failures.saturating_add(1);
    let pause = if matches!(error, DriveError::NoDefinition(..)) {
        FOREIGN_AGAIN
    } else {
        let doublings = u32::try_from(failures - 1).unwrap_or(0).min(16);
        FAILED_FIRST.saturating_mul(1 << doublings).min(FAILED_MOST)
    };
    Done {
        id: claimed.id,
        version: 0,
        status: "failing",
        definition: 0,
        key: String::new(),
        waits_for: String::new(),
        reason: Some(short(error.to_string())),
        due_at: Some(now + pause),
        heard: 0,
        moved: false,
        failures,
        news: claimed.news,
        forgotten: false,
    }
}
