//! Tests of the decision about a presented refresh token: all cases.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;

const HOUR: TimeDelta = TimeDelta::hours(1);
const LIMITS: Limits = Limits { idle: Duration::from_hours(2), absolute: Duration::from_hours(5) };
const OLDER: [u8; 32] = [0; 32];
const PREVIOUS: [u8; 32] = [1; 32];
const VALID: [u8; 32] = [2; 32];
const NEXT: [u8; 32] = [3; 32];

fn start() -> DateTime<Utc> {
    "2026-01-05T12:00:00Z".parse().unwrap()
}

/// A session that exchanged a token an hour after its begin.
fn stored() -> Stored {
    Stored {
        user_id: Uuid::from_u128(1),
        client: "web".to_owned(),
        created_at: start(),
        used_at: start() + HOUR,
        token_hash: VALID.to_vec(),
        previous_hash: Some(PREVIOUS.to_vec()),
        rotated_at: Some(start() + HOUR),
        ended_at: None,
    }
}

fn after(presented: [u8; 32], next: [u8; 32], since_rotation: TimeDelta) -> Step {
    step(&stored(), &presented, Some(&next), LIMITS, start() + HOUR + since_rotation)
}

#[test]
fn the_valid_token_is_exchanged_until_the_session_expires() {
    for since in [TimeDelta::zero(), GRACE, HOUR, TimeDelta::minutes(119)] {
        assert_eq!(after(VALID, NEXT, since), Step::Exchange, "{since}");
    }
    assert_eq!(after(VALID, NEXT, HOUR * 2), Step::Refuse, "idle for too long");
    let used = Stored { used_at: start() + HOUR * 4, ..stored() };
    let late = start() + HOUR * 5;
    let just = late - TimeDelta::microseconds(1);
    assert_eq!(step(&used, &VALID, Some(&NEXT), LIMITS, just), Step::Exchange);
    assert_eq!(step(&used, &VALID, Some(&NEXT), LIMITS, late), Step::Refuse, "old");
}

#[test]
fn the_token_before_gets_the_same_successor_for_a_moment() {
    let just_after = GRACE + TimeDelta::microseconds(1);
    assert_eq!(after(PREVIOUS, VALID, TimeDelta::zero()), Step::Repeat);
    assert_eq!(after(PREVIOUS, VALID, GRACE), Step::Repeat);
    assert_eq!(after(PREVIOUS, VALID, just_after), Step::Reused);
}

#[test]
fn a_successor_that_cannot_be_made_again_is_no_reuse() {
    assert_eq!(after(PREVIOUS, NEXT, GRACE), Step::Refuse);
}

#[test]
fn an_older_token_is_reuse_at_any_time() {
    assert_eq!(after(OLDER, PREVIOUS, TimeDelta::zero()), Step::Reused);
    assert_eq!(after(OLDER, PREVIOUS, HOUR), Step::Reused);
}

#[test]
fn nothing_is_exchanged_after_the_end() {
    let ended = Stored { ended_at: Some(start() + HOUR), ..stored() };
    for token in [OLDER, PREVIOUS, VALID] {
        assert_eq!(step(&ended, &token, Some(&NEXT), LIMITS, start() + HOUR), Step::Refuse);
    }
}
