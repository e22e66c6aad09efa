//! Sessions: one per log-in, with one valid refresh token at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::issuer::AccessToken;

pub mod begin;
pub mod end;
pub mod rotation;
pub mod standing;

/// The maximum number of live sessions of one user. The one that was used longest ago ends when
/// there would be more.
pub const MAX_SESSIONS: i64 = 50;

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a session lives without use.
    pub idle: Duration,
    /// How long a session lives at most.
    pub absolute: Duration,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// The user who is signed in.
    pub user_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// The token that both APIs accept.
    pub access: AccessToken,
    /// The token that is exchanged for the next pair.
    pub refresh: SecretString,
    /// When the refresh token expires if it is not used.
    pub refresh_expires_at: DateTime<Utc>,
}

impl Limits {
    /// When a session expires that was begun and last used at these times.
    pub fn expiry(&self, begun: DateTime<Utc>, used: DateTime<Utc>) -> DateTime<Utc> {
        let after = |time: DateTime<Utc>, limit: Duration| {
            let limit = chrono::TimeDelta::from_std(limit).unwrap_or(chrono::TimeDelta::MAX);
            time.checked_add_signed(limit).unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        after(begun, self.absolute).min(after(used, self.idle))
    }
}
