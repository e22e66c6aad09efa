//! What Stripe answers, as far as we read it: the objects of the pinned version of its API.
//! Everything else in an answer is ignored.

use std::collections::HashMap;

use domain::value::{Currency, Money};
use serde::Deserialize;
use uuid::Uuid;

use super::amount::from_stripe;
use crate::port::Code;
use crate::port::payment::{Payment, PaymentId, PaymentState, Refund, RefundState};

/// The key in an object's metadata that holds the key of the call that made it.
pub(super) const CALL_KEY: &str = "call_key";
/// The key in an object's metadata that holds the order's id.
pub(super) const ORDER_ID: &str = "order_id";
/// The key in an object's metadata that holds the id of the instance of the saga.
pub(super) const SAGA_ID: &str = "saga_id";
/// The key in the metadata of a payment that only takes an idempotency key.
pub(super) const VOID: &str = "void";

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

/// A refund. Its amount is in Stripe's units.
#[derive(Debug, Deserialize)]
pub(super) struct WireRefund {
    pub(super) status: Option<String>,
    pub(super) amount: i64,
    pub(super) currency: String,
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
    id_in(metadata, CALL_KEY) == Some(key)
}

/// An id in an object's metadata.
pub(super) fn id_in(metadata: &HashMap<String, String>, key: &str) -> Option<Uuid> {
    metadata.get(key).and_then(|text| text.parse().ok())
}

/// Money in Stripe's units and words.
fn money(amount: i64, currency: &str) -> Option<Money> {
    let currency: Currency = currency.to_ascii_uppercase().parse().ok()?;
    from_stripe(amount, currency)
}

impl PaymentIntent {
    /// The payment that it is. `None` if it has a state, an id or an amount that we cannot read.
    pub(super) fn payment(&self) -> Option<Payment> {
        Some(Payment {
            id: PaymentId::parse(&self.id).ok()?,
            order: id_in(&self.metadata, ORDER_ID),
            saga: id_in(&self.metadata, SAGA_ID),
            key: id_in(&self.metadata, CALL_KEY),
            amount: money(self.amount, &self.currency)?,
            captured: money(self.amount_received, &self.currency)?,
            state: self.state()?,
        })
    }

    /// What its status means, for each that Stripe documents. Others are unknown: we ask again.
    fn state(&self) -> Option<PaymentState> {
        let refused = self.last_payment_error.as_ref().map(ApiError::code);
        Some(match self.status.as_str() {
            // An attempt failed, and no other one follows by itself. Without an attempt, nothing is
            // decided.
            "requires_payment_method" => {
                refused.map_or(PaymentState::Pending, PaymentState::Declined)
            }
            // On the way to one of the other states.
            "requires_confirmation" | "requires_action" | "processing" => PaymentState::Pending,
            "requires_capture" => PaymentState::Authorised,
            "succeeded" => PaymentState::Captured,
            "canceled" => PaymentState::Released,
            _ => return None,
        })
    }
}

impl WireRefund {
    /// The refund that it is. `None` if we cannot read its amount.
    pub(super) fn refund(&self) -> Option<Refund> {
        Some(Refund {
            amount: money(self.amount, &self.currency)?,
            state: self.state(),
            saga: id_in(&self.metadata, SAGA_ID),
            key: id_in(&self.metadata, CALL_KEY),
        })
    }

    fn state(&self) -> RefundState {
        match self.status.as_deref() {
            Some("succeeded") => RefundState::Succeeded,
            Some("failed" | "canceled") => {
                let reason = self.failure_reason.as_deref().unwrap_or("refund_failed");
                RefundState::Failed(Code::new(reason))
            }
            // `pending`, `requires_action`, and what we do not know: it is neither done nor failed.
            _ => RefundState::Pending,
        }
    }
}
