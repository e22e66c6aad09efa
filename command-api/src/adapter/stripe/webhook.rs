//! Reads the events that Stripe sends.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::call_key;
use super::wire::{CALL_KEY, ORDER_ID, PaymentIntent};
use crate::adapter::signed::{Received, Signed, WebhookError};
use crate::port::payment::{Payment, PaymentId};

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

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A payment of ours changed. This is what it was then: newer states may have come first.
    Payment {
        /// The payment, in the state that the event tells of.
        payment: Payment,
        /// The key of the call that made it, if its metadata has one.
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
        let about = about(event.data.object).ok_or(WebhookError::Unreadable)?;
        Ok(self.0.received(event.id, now, |id| Notice { id, about }))
    }
}

/// What an event with this object is about. `None` if a payment of ours cannot be read.
fn about(object: Value) -> Option<About> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let marks = |name: &str| object["metadata"].get(name).is_some();
    match text("object") {
        // Another program with the same account made it, perhaps in a currency that we do not know.
        Some("payment_intent") if !marks(CALL_KEY) && !marks(ORDER_ID) => Some(About::Other),
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
