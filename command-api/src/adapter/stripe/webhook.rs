//! Reads the events that Stripe sends.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::wire::{CALL_KEY, ORDER_ID};
use crate::adapter::signed::{Received, Signed, WebhookError};
use crate::port::payment::PaymentId;

/// The header with the signature.
pub const SIGNATURE: &str = "stripe-signature";

/// Reads events that are signed with one of our secrets.
#[derive(Debug)]
pub struct Webhooks(Signed);

/// What Stripe tells. It may come late, more than once and out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The id of the event, the same in each repeat.
    pub id: String,
    /// What the event is about.
    pub about: About,
}

/// What an event is about. It is a hint only: read the payment before you act on it. Another
/// program with the same account may have made it, and newer states may have come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A payment that may be ours changed.
    Payment {
        /// The id of the payment.
        id: PaymentId,
        /// The order in its metadata, if there is one.
        order: Option<Uuid>,
        /// The key of the call in its metadata, if there is one.
        key: Option<Uuid>,
    },
    /// A charge or a refund of this payment changed.
    PartOf(PaymentId),
    /// Something that we do not read.
    Other,
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

impl Webhooks {
    /// Events that are signed with one of these secrets, one per line. There are two while one
    /// replaces the other.
    pub fn new(secrets: &SecretString) -> Self {
        Self(Signed::with(secrets))
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
    ) -> Result<Received<Notice>, WebhookError> {
        self.0.check(signature, body, now)?;
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        let about = about(&event.data.object).ok_or(WebhookError::Unreadable)?;
        Ok(self.0.received(event.id, now, |id| Notice { id, about }))
    }
}

/// What an event with this object is about. `None` if the payment has no id.
fn about(object: &Value) -> Option<About> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let mark = |name: &str| object["metadata"].get(name).and_then(Value::as_str);
    let id = |name: &str| mark(name).and_then(|text| text.parse().ok());
    match text("object") {
        // Another program with the same account made it.
        Some("payment_intent") if mark(CALL_KEY).is_none() && mark(ORDER_ID).is_none() => {
            Some(About::Other)
        }
        Some("payment_intent") => {
            let payment = PaymentId::parse(text("id")?).ok()?;
            Some(About::Payment { id: payment, order: id(ORDER_ID), key: id(CALL_KEY) })
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
