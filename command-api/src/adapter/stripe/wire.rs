//! What Stripe answers, as far as we read it: the objects of the pinned version of its API.
//! Everything else in an answer is ignored.

use std::collections::HashMap;

use domain::value::Currency;
use serde::Deserialize;
use uuid::Uuid;

use super::amount::from_stripe;
use crate::port::Code;
use crate::port::payment::{Payment, PaymentId, PaymentState};

/// The key in an object's metadata that holds the key of the call that made it.
pub(super) const CALL_KEY: &str = "call_key";
/// The key in an object's metadata that holds the order's id.
pub(super) const ORDER_ID: &str = "order_id";

/// A PaymentIntent. Its amounts are in Stripe's units (`amount.rs`).
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount: i64,
    #[serde(default)]
    pub(super) amount_received: i64,
    pub(super) currency: String,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
    pub(super) last_payment_error: Option<ApiError>,
}

/// A refund: how far it is, and which call made it.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) status: Option<String>,
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// The body of an answer that is an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ApiError,
}

/// An error. Its message is not read: it may hold personal data.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
}

impl ApiError {
    /// The most exact code.
    pub(super) fn code(&self) -> Code {
        let code = self.decline_code.as_deref().or(self.code.as_deref());
        Code::new(code.or(self.kind.as_deref()).unwrap_or_default())
    }
}

/// Whether an object's metadata holds the key of a call.
pub(super) fn is_made_by(metadata: &HashMap<String, String>, key: Uuid) -> bool {
    metadata.get(CALL_KEY).is_some_and(|text| text.parse() == Ok(key))
}

impl PaymentIntent {
    /// The payment that it is. `None` if it has a state, an id or an amount that we cannot read.
    pub(super) fn payment(&self) -> Option<Payment> {
        let currency: Currency = self.currency.to_ascii_uppercase().parse().ok()?;
        let money = |amount| from_stripe(amount, currency);
        Some(Payment {
            id: PaymentId::parse(&self.id).ok()?,
            order: self.metadata.get(ORDER_ID).and_then(|text| text.parse().ok()),
            amount: money(self.amount)?,
            captured: money(self.amount_received)?,
            state: self.state()?,
        })
    }

    fn state(&self) -> Option<PaymentState> {
        let error = |code: &str| {
            let last = self.last_payment_error.as_ref().map(ApiError::code);
            PaymentState::Declined(last.unwrap_or_else(|| Code::new(code)))
        };
        Some(match self.status.as_str() {
            "requires_payment_method" => error("not_paid"),
            // We cannot ask the customer in the middle of a call.
            "requires_confirmation" | "requires_action" => error("authentication_required"),
            "processing" => PaymentState::Pending,
            "requires_capture" => PaymentState::Authorised,
            "succeeded" => PaymentState::Captured,
            "canceled" => PaymentState::Released,
            _ => return None,
        })
    }
}
