//! Reads the events that Stripe sends: their signature, their age, and whether they came before.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use super::call_key;
use super::replays::Replays;
use super::wire::PaymentIntent;
use crate::port::payment::{Payment, PaymentId};

/// The header with the signature.
pub const SIGNATURE: &str = "stripe-signature";
/// The maximum length of an event's body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// How far an event's time may be from ours, in either direction.
const TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// The maximum number of signatures in a header. There are two while a secret is replaced.
const MAX_SIGNATURES: usize = 8;

/// Reads events that are signed with one of our secrets.
pub struct Webhooks {
    secrets: Vec<SecretString>,
    replays: Replays,
}

/// What Stripe tells. It may come late, more than once and out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The id of the event, the same in each repeat.
    pub id: String,
    /// What the event is about.
    pub about: About,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A payment changed. This is what it was then: newer states may have come first.
    Payment {
        /// The payment, in the state that the event tells of.
        payment: Payment,
        /// The key of the call that made it, if it is one of ours.
        key: Option<Uuid>,
    },
    /// A charge or a refund of this payment changed.
    PartOf(PaymentId),
    /// Something that we do not read.
    Other,
}

/// What to do with an event that is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Act on it, and answer 200.
    New(Notice),
    /// It came before. Only answer 200, or Stripe sends it again.
    Repeated,
}

/// Why an event is refused. Answer 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The header is not `t=…,v1=…`.
    #[error("the header {SIGNATURE} is not a time and signatures")]
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

#[derive(Deserialize)]
struct Event {
    id: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Webhooks {
    /// Events that are signed with one of these secrets, one per line. There are two while one
    /// replaces the other.
    pub fn new(secrets: &SecretString) -> Self {
        let lines = secrets.expose_secret().lines().map(str::trim);
        let secrets = lines.filter(|line| !line.is_empty()).map(SecretString::from).collect();
        // Longer than a signature is accepted before and after its time.
        Self { secrets, replays: Replays::new(TOLERANCE * 3) }
    }

    /// Reads an event: the value of its header [`SIGNATURE`] and its body as it came.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn receive(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Received, WebhookError> {
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
        if !self.secrets.iter().any(fits) {
            return Err(WebhookError::Forged);
        }
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        let about = about(event.data.object).ok_or(WebhookError::Unreadable)?;
        if self.replays.is_first(&event.id, now) {
            Ok(Received::New(Notice { id: event.id, about }))
        } else {
            Ok(Received::Repeated)
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

/// Whether a signature fits a body. The comparison takes the same time wherever they differ.
fn fits(secret: &SecretString, time: &str, body: &[u8], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return false;
    };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(signature).is_ok()
}

/// What an event with this object is about. `None` if a payment cannot be read.
fn about(object: Value) -> Option<About> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    match text("object") {
        Some("payment_intent") => {
            let intent: PaymentIntent = serde_json::from_value(object).ok()?;
            let key = call_key(&intent.metadata);
            Some(About::Payment { payment: intent.payment()?, key })
        }
        Some("charge" | "refund") => {
            let payment = text("payment_intent").and_then(|id| PaymentId::parse(id).ok());
            // A charge or a refund without a payment is not one of ours.
            Some(payment.map_or(About::Other, About::PartOf))
        }
        _ => Some(About::Other),
    }
}

#[cfg(test)]
mod tests;
