//! Events that providers send: their signature, their age, and whether they came before. The scheme
//! is that of Stripe: `t=TIME,v1=HMAC`, over the time and the body.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

pub use super::replays::Claim;
use super::replays::{Claimed, Replays};

/// The maximum length of an event's body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// How far an event's time may be from ours, in either direction.
const TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// The maximum number of signatures in a header. There are two while a secret is replaced.
const MAX_SIGNATURES: usize = 8;

/// What to do with an event that is genuine.
#[derive(Debug)]
pub enum Received<N> {
    /// Act on it, call [`Claim::done`], and answer 200. If acting on it fails, drop the claim and
    /// answer 5xx: the event is sent again, and is new again.
    New(N, Claim),
    /// It came before, and another request, which may fail, is acting on it. Answer 409, so that it
    /// is sent again.
    UnderWay,
    /// It came before, and was acted on. Answer 200, so that it is not sent again.
    Repeated,
}

/// Why an event is refused. Answer 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The header is not `t=…,v1=…`.
    #[error("the header of the signature is not a time and signatures")]
    Malformed,
    /// The event is too old, or from the future.
    #[error("the time of the signature is more than {} s from now", TOLERANCE.num_seconds())]
    Stale,
    /// No signature in the header fits the body with any of our secrets.
    #[error("the signature does not fit")]
    Forged,
    /// The body is longer than [`MAX_BODY`].
    #[error("the event is longer than {MAX_BODY} bytes")]
    TooLong,
    /// The signature fits, and the body is no event that we can read.
    #[error("the event cannot be read")]
    Unreadable,
}

/// Checks events that are signed with one of our secrets.
pub(super) struct Signed {
    secrets: Vec<SecretString>,
    replays: Replays,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed")
    }
}

impl Signed {
    /// Events that are signed with one of these secrets, one per line.
    pub(super) fn with(secrets: &SecretString) -> Self {
        let lines = secrets.expose_secret().lines().map(str::trim);
        let secrets = lines.filter(|line| !line.is_empty()).map(SecretString::from).collect();
        // This is longer than a signature is accepted, from before its time until after it.
        Self { secrets, replays: Replays::new(TOLERANCE * 3) }
    }

    /// Checks that a signature fits the body, and that it was made lately.
    ///
    /// # Errors
    /// [`WebhookError`], except [`WebhookError::Unreadable`].
    pub(super) fn check(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), WebhookError> {
        if body.len() > MAX_BODY {
            return Err(WebhookError::TooLong);
        }
        let (time, signatures) = parse(signature)?;
        let signed_at = time.parse().ok().and_then(|time| DateTime::from_timestamp(time, 0));
        let age = now - signed_at.ok_or(WebhookError::Malformed)?;
        if age.abs() > TOLERANCE {
            return Err(WebhookError::Stale);
        }
        let fits = |secret| signatures.iter().any(|signature| fits(secret, time, body, signature));
        if self.secrets.iter().any(fits) { Ok(()) } else { Err(WebhookError::Forged) }
    }

    /// Distinguishes a new event from a repeat. `notice` makes the notice from the event's id.
    pub(super) fn received<N>(
        &self,
        id: String,
        now: DateTime<Utc>,
        notice: impl FnOnce(String) -> N,
    ) -> Received<N> {
        match self.replays.claim(&id, now) {
            Claimed::First(claim) => Received::New(notice(id), claim),
            Claimed::UnderWay => Received::UnderWay,
            Claimed::Done => Received::Repeated,
        }
    }
}

/// The time and the signatures of version 1 in a header.
fn parse(header: &str) -> Result<(&str, Vec<Vec<u8>>), WebhookError> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.split_once('=').ok_or(WebhookError::Malformed)? {
            ("t", _) if time.is_some() => return Err(WebhookError::Malformed),
            ("t", text) => time = Some(text),
            // What is not hexadecimal fits no event.
            ("v1", text) => signatures.extend(hex::decode(text)),
            // Other versions protect nothing here.
            _ => {}
        }
    }
    let time = time.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let is_fitting = (1..=MAX_SIGNATURES).contains(&signatures.len());
    time.filter(|_| is_fitting).map(|time| (time, signatures)).ok_or(WebhookError::Malformed)
}

/// Whether a signature fits a body. The time of the comparison does not show where they differ.
pub(super) fn fits(secret: &SecretString, time: &str, body: &[u8], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return false;
    };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(signature).is_ok()
}
