//! What the steps so far returned.

use domain::value::{Evidence, Money};
use saga::Call;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{AUTHORISE, CAPTURE, Facts, RECORD_PAYMENT, SHIP, Why};
use crate::port::payment::PaymentId;
use crate::port::shipping::ShipmentId;

/// What a step returned. It is stored for ever: ids only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Returned {
    /// The provider's id of the payment.
    Payment(String),
    /// The shipper's id of the shipment.
    Shipment(String),
    /// A person recorded it by hand.
    ByHand,
    /// There is nothing to pay.
    Free,
    /// The order was shipped before it could be cancelled, so what was paid stays.
    Kept,
    /// The payment was not captured, and cannot be any more.
    Released,
    /// What was paid and not given back when the order was closed, in minor units.
    Held(i64),
}

impl Returned {
    pub(super) fn value(&self) -> Value {
        json!(self)
    }
}

/// One call, with what is known so far.
pub(super) struct Progress<'c> {
    pub(super) call: &'c Call,
    pub(super) facts: Facts,
}

impl<'c> Progress<'c> {
    /// Reads what the instance began with.
    ///
    /// # Errors
    /// Another version of this program wrote it.
    pub(super) fn of(call: &'c Call) -> Result<Self, serde_json::Error> {
        Ok(Self { call, facts: serde_json::from_value(call.data.clone())? })
    }

    pub(super) const fn order_id(&self) -> Uuid {
        self.facts.order_id
    }

    pub(super) const fn total(&self) -> Money {
        self.facts.total
    }

    /// What a step returned; `None` if it did not succeed.
    pub(super) fn result(&self, step: &str) -> Option<Returned> {
        let value = self.call.results.get(step)?;
        serde_json::from_value(value.clone()).ok()
    }

    /// The authorised payment; `None` if there is none, or it is not known.
    pub(super) fn payment(&self) -> Option<PaymentId> {
        match self.result(AUTHORISE)? {
            Returned::Payment(id) => PaymentId::parse(&id).ok(),
            _ => None,
        }
    }

    /// The shipment; `None` if there is none, or it is not known.
    pub(super) fn shipment(&self) -> Option<ShipmentId> {
        match self.result(SHIP)? {
            Returned::Shipment(id) => ShipmentId::parse(&id).ok(),
            _ => None,
        }
    }

    /// The payment as evidence of what the saga records.
    pub(super) fn evidence(&self, step: &str) -> Option<Evidence> {
        match self.result(step)? {
            Returned::Payment(id) | Returned::Shipment(id) => Evidence::parse(&id).ok(),
            _ => None,
        }
    }

    /// Whether a person recorded the payment by hand.
    pub(super) fn is_paid_by_hand(&self) -> bool {
        [AUTHORISE, CAPTURE].iter().any(|step| self.result(step) == Some(Returned::ByHand))
    }

    /// Whether the saga has captured a payment although a person recorded another payment.
    pub(super) fn is_paid_twice(&self) -> bool {
        self.is_captured() && self.result(RECORD_PAYMENT) == Some(Returned::ByHand)
    }

    /// Whether what was paid twice has been given back: the shipment begins with that.
    pub(super) fn is_given_back(&self) -> bool {
        self.is_paid_twice() && self.result(SHIP).is_some()
    }

    /// Whether a person recorded the shipment by hand.
    pub(super) fn is_shipped_by_hand(&self) -> bool {
        self.result(SHIP) == Some(Returned::ByHand)
    }

    /// Why the instance is undone.
    pub(super) fn why(&self) -> Why {
        self.call.undoing.as_ref().map_or(Why::Late, Why::read)
    }

    /// Whether what was captured has been given back.
    pub(super) fn is_refunded(&self) -> bool {
        matches!(self.undone(CAPTURE), Some(Returned::Payment(_)))
    }

    /// Whether the saga knows that it has captured its payment.
    pub(super) fn is_captured(&self) -> bool {
        matches!(self.result(CAPTURE), Some(Returned::Payment(_)))
    }

    /// What was paid and not given back when the order was closed, in minor units. `None` if the
    /// order was not closed, or not paid.
    pub(super) fn held_when_closed(&self) -> Option<i64> {
        match self.undone(RECORD_PAYMENT)? {
            Returned::Held(minor) => Some(minor),
            _ => None,
        }
    }

    /// What a compensation returned; `None` if it did not succeed, or returned nothing.
    fn undone(&self, step: &str) -> Option<Returned> {
        serde_json::from_value(self.call.undone.get(step)?.clone()).ok()
    }

    /// Whether the saga has recorded its own payment.
    pub(super) fn is_payment_recorded(&self) -> bool {
        matches!(self.result(RECORD_PAYMENT), Some(Returned::Payment(_)))
    }

    /// Whether the saga's own payment stays: it is recorded, and the order is left to people, or
    /// was shipped before it could be cancelled.
    pub(super) fn is_payment_kept(&self) -> bool {
        let is_shipped = self.undone(RECORD_PAYMENT) == Some(Returned::Kept);
        self.is_payment_recorded() && (is_shipped || self.why() == Why::TakenOver)
    }
}
