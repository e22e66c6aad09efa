//! What a payment has to be to count as that of an order. Others can write the order's id into the
//! metadata of their payments, so nothing counts that was not compared with what the saga asked for.

use chrono::{DateTime, Utc};
use saga::instance::Instance;
use uuid::Uuid;

use super::progress::{Progress, Returned};
use super::{AUTHORISE, Facts};
use crate::port::payment::{Payment, PaymentId, PaymentState};

/// What the payment of an order has to be, as its saga knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    saga: Uuid,
    facts: Facts,
    known: Option<PaymentId>,
}

/// Why a payment is not that of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// The saga has another payment.
    #[error("the saga has a payment with another id")]
    Id,
    /// Its metadata names another instance of a saga, or none.
    #[error("the payment was not made by this saga")]
    Saga,
    /// Its metadata has another key, or none.
    #[error("the payment was not made by the call of this saga")]
    Key,
    /// Its metadata names another order, or none.
    #[error("the payment is of another order")]
    Order,
    /// Its amount is not what the customer pays.
    #[error("the payment has another amount or currency")]
    Amount,
    /// Not all of it was captured.
    #[error("another amount was captured")]
    Captured,
}

impl Expected {
    /// What the payment of this instance has to be. `None` if the instance cannot be read.
    pub fn of(saga: &Instance) -> Option<Self> {
        let facts = serde_json::from_value(saga.origin.as_ref()?.data.clone()).ok()?;
        let data = saga.steps.get(AUTHORISE).map(|step| step.data.clone());
        let known = match data.and_then(|data| serde_json::from_value(data).ok()) {
            Some(Returned::Payment(id)) => PaymentId::parse(&id).ok(),
            _ => None,
        };
        Some(Self { saga: saga.id, facts, known })
    }

    pub(super) fn at(at: &Progress<'_>) -> Self {
        Self { saga: at.call.instance, facts: at.facts.clone(), known: at.payment() }
    }

    /// When the order was confirmed. No payment was made before.
    pub const fn since(&self) -> DateTime<Utc> {
        self.facts.since
    }

    /// The key of the call that makes the payment.
    pub fn key(&self) -> Uuid {
        saga::id::of_call(self.saga, AUTHORISE)
    }

    /// Checks that this is the payment, and pays what the order costs.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn check(&self, payment: &Payment) -> Result<(), NotOurs> {
        self.check_origin(payment)?;
        if payment.amount != self.facts.total {
            return Err(NotOurs::Amount);
        }
        if payment.state == PaymentState::Captured && payment.captured != payment.amount {
            return Err(NotOurs::Captured);
        }
        Ok(())
    }

    /// Checks that this saga made the payment, whatever its amount.
    pub(super) fn check_origin(&self, payment: &Payment) -> Result<(), NotOurs> {
        if self.known.as_ref().is_some_and(|known| *known != payment.id) {
            return Err(NotOurs::Id);
        }
        if payment.saga != Some(self.saga) {
            return Err(NotOurs::Saga);
        }
        if payment.key != Some(self.key()) {
            return Err(NotOurs::Key);
        }
        if payment.order != Some(self.facts.order_id) {
            return Err(NotOurs::Order);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use domain::value::Money;
    use saga::instance::{Leg, StepState};

    use super::*;

    fn money(text: &str, currency: &str) -> Money {
        Money::parse(text, currency.parse().unwrap()).unwrap()
    }

    /// An instance that has authorised a payment with this id, if any.
    fn expected(known: Option<&str>) -> Expected {
        let facts = Facts {
            order_id: Uuid::from_u128(7),
            total: money("20.00", "USD"),
            since: "2026-12-01T10:00:00Z".parse().unwrap(),
        };
        let definition = super::super::definition(super::super::Times::default());
        let story = saga::test_kit::Story::of(&definition);
        let story = story.starts("7", serde_json::to_value(facts).unwrap());
        let mut instance = story.instance().clone();
        if let Some(id) = known {
            let data = Returned::Payment(id.to_owned()).value();
            let step = StepState { action: Leg::Done, data, ..StepState::default() };
            instance.steps.insert(AUTHORISE.to_owned(), step);
        }
        Expected::of(&instance).unwrap()
    }

    fn payment(expected: &Expected) -> Payment {
        Payment {
            id: PaymentId::parse("pi_1").unwrap(),
            order: Some(expected.facts.order_id),
            saga: Some(expected.saga),
            key: Some(expected.key()),
            amount: expected.facts.total,
            captured: Money::zero("USD".parse().unwrap()),
            state: PaymentState::Authorised,
        }
    }

    #[test]
    fn a_payment_counts_only_if_all_of_it_is_what_the_saga_asked_for() {
        let expected = expected(None);
        let good = payment(&expected);
        assert_eq!(expected.check(&good), Ok(()));
        let other = Some(Uuid::from_u128(9));
        for (wrong, why) in [
            (Payment { saga: other, ..good.clone() }, NotOurs::Saga),
            (Payment { saga: None, ..good.clone() }, NotOurs::Saga),
            (Payment { key: other, ..good.clone() }, NotOurs::Key),
            (Payment { key: None, ..good.clone() }, NotOurs::Key),
            (Payment { order: other, ..good.clone() }, NotOurs::Order),
            (Payment { amount: money("19.99", "USD"), ..good.clone() }, NotOurs::Amount),
            (Payment { amount: money("20.00", "EUR"), ..good.clone() }, NotOurs::Amount),
            (Payment { state: PaymentState::Captured, ..good.clone() }, NotOurs::Captured),
        ] {
            assert_eq!(expected.check(&wrong), Err(why), "{wrong:?}");
        }
        let captured = money("20.00", "USD");
        let state = PaymentState::Captured;
        assert_eq!(expected.check(&Payment { captured, state, ..good }), Ok(()));
    }

    #[test]
    fn a_saga_has_one_payment() {
        let expected = expected(Some("pi_2"));
        assert_eq!(expected.check(&payment(&expected)), Err(NotOurs::Id));
        let id = PaymentId::parse("pi_2").unwrap();
        assert_eq!(expected.check(&Payment { id, ..payment(&expected) }), Ok(()));
    }
}
