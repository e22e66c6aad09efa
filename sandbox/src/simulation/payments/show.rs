//! The shapes of Stripe's answers: the fields of its API reference that clients read.

use serde_json::{Value, json};

use super::{Payment, Refund};
use crate::simulation::ask::Outcome;
use crate::simulation::state::Saved;

impl Payment {
    /// The payment as a PaymentIntent of Stripe's API.
    pub(super) fn show(&self) -> Value {
        let is_authorised = self.status == super::Status::RequiresCapture;
        let charge = self.decline.is_none().then(|| format!("ch_{}", self.number));
        json!({
            "id": format!("pi_{}", self.number),
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": if is_authorised { self.amount } else { 0 },
            "amount_received": self.captured,
            "canceled_at": null,
            "cancellation_reason": null,
            "capture_method": "manual",
            "client_secret": null,
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "description": null,
            "last_payment_error": self.decline.as_deref().map(error_of_card),
            "latest_charge": charge,
            "livemode": false,
            "metadata": self.metadata,
            "next_action": null,
            "payment_method": null,
            "payment_method_types": ["card"],
            "processing": null,
            "status": self.status,
        })
    }
}

impl Refund {
    /// The refund as an object of Stripe's API.
    pub(super) fn show(&self) -> Value {
        json!({
            "id": format!("re_{}", self.number),
            "object": "refund",
            "amount": self.amount,
            "charge": format!("ch_{}", self.payment),
            "created": self.created,
            "currency": self.currency,
            "metadata": self.metadata,
            "payment_intent": format!("pi_{}", self.payment),
            "reason": null,
            "status": "succeeded",
        })
    }
}

fn error_of_card(decline: &str) -> Value {
    let code = if decline == "expired_card" { decline } else { "card_declined" };
    json!({
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "message": "Your card was declined.",
    })
}

/// The answer to an authorisation that the bank declined.
pub(super) fn declined(payment: &Payment) -> Saved {
    let mut error = error_of_card(payment.decline.as_deref().unwrap_or_default());
    error["payment_intent"] = payment.show();
    Saved { status: 402, body: json!({ "error": error }).to_string() }
}

/// The answer 200 with this object.
pub(super) fn ok(shown: &Value) -> Saved {
    Saved { status: 200, body: shown.to_string() }
}

/// An error in the format of Stripe's API.
pub(crate) fn refusal(status: u16, kind: &str, code: &str, message: &str) -> Saved {
    let error = json!({ "type": kind, "code": code, "message": message });
    Saved { status, body: json!({ "error": error }).to_string() }
}

/// A field is missing or invalid. Such an answer is not stored under the key.
pub(super) fn invalid(field: &str) -> Outcome {
    let code = "parameter_invalid";
    let message = format!("Missing or invalid: {field}.");
    Outcome::unsaved(refusal(400, "invalid_request_error", code, &message))
}
