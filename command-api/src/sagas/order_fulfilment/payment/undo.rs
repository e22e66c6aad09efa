//! What undoes the steps at the payment provider. The outcome of a call may be lost, or still be
//! under way. So each of these ends with proof that no money is taken or set aside: what was
//! captured is given back, what was not is released, and what never showed is forbidden.

use domain::value::Money;
use saga::Outcome;
use serde_json::Value;
use uuid::Uuid;

use super::super::actions::{OrderFulfilment, call, call_with, made, unread};
use super::super::expected::Expected;
use super::super::progress::{Progress, Returned};
use super::super::AUTHORISE;
use super::refund::give_back;
use super::{asked, undecided};
use crate::port::payment::{Payment, PaymentId, PaymentState};
use crate::port::{Fate, GatewayError};

/// How a payment ends that is not needed. Neither can change any more by itself.
pub(super) enum Settled {
    /// No money is set aside, and none can be captured.
    Free,
    /// This amount was captured.
    Taken(Money),
}

/// Makes sure that a payment cannot be captured any more, unless it was. The release is the proof:
/// a capture that comes after it is refused.
///
/// # Errors
/// What the call returns if that is not certain yet.
pub(super) async fn settled(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    id: &PaymentId,
) -> Result<Settled, Outcome> {
    let found = own.payments.read(&call(at), id).await.map_err(unread)?;
    if let Some(settled) = as_settled(&found) {
        return Ok(settled);
    }
    // A refusal is stored under its key, and the next attempt may meet another state. A payment is
    // released once, whatever the keys.
    let name = format!("release/{}", at.call.attempt);
    let key = Uuid::new_v5(&at.call.idempotency_key, name.as_bytes());
    let released = match own.payments.release(&call_with(at, key), id).await {
        // It was captured or released meanwhile, or cannot be released now.
        Err(GatewayError::Invalid { .. } | GatewayError::Declined { .. }) => {
            own.payments.read(&call(at), id).await
        }
        released => released,
    };
    let released = released.map_err(unread)?;
    as_settled(&released).ok_or_else(|| undecided("the payment is not released yet"))
}

const fn as_settled(payment: &Payment) -> Option<Settled> {
    match payment.state {
        PaymentState::Captured => Some(Settled::Taken(payment.captured)),
        PaymentState::Released | PaymentState::Declined(_) => Some(Settled::Free),
        PaymentState::Authorised | PaymentState::Pending => None,
    }
}

/// Gives back what was captured. If nothing was, nothing can be afterwards.
pub(crate) async fn undo_capture(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let Some(payment) = at.payment().filter(|_| !at.is_payment_kept()) else {
        return Outcome::Done(Value::Null);
    };
    match settled(own, at, &payment).await {
        Ok(Settled::Free) => Outcome::Done(Returned::Released.value()),
        Ok(Settled::Taken(captured)) => give_back(own, at, &payment, captured).await,
        Err(outcome) => outcome,
    }
}

/// Releases the authorisation, if there is one, and makes sure that there will be none.
pub(crate) async fn undo_authorise(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let returned = at.result(AUTHORISE);
    if matches!(returned, Some(Returned::ByHand | Returned::Free)) || at.is_payment_kept() {
        return Outcome::Done(Value::Null);
    }
    let known = at.payment().map(|id| Ok(Some(id)));
    let found = match known {
        Some(known) => known,
        None => found(own, at).await,
    };
    let payment = match found {
        Ok(Some(payment)) => payment,
        Ok(None) => return Outcome::Done(Value::Null),
        Err(outcome) => return outcome,
    };
    match settled(own, at, &payment).await {
        Ok(Settled::Free) => Outcome::Done(Value::Null),
        // The compensation of the capture gave it back, or a person decided to skip that.
        Ok(Settled::Taken(_)) if at.is_refunded() || at.is_captured() => {
            Outcome::Done(Value::Null)
        }
        Ok(Settled::Taken(_)) => {
            Outcome::rejected("the payment is captured, and not by this saga")
        }
        Err(outcome) => outcome,
    }
}

/// The payment of a call whose outcome is not known; `None` if there is none and never will be.
///
/// # Errors
/// What the compensation returns if that is not certain yet.
async fn found(own: &OrderFulfilment, at: &Progress<'_>) -> Result<Option<PaymentId>, Outcome> {
    let made = made(at, AUTHORISE);
    // Before the look-up, which shows the state of a later time.
    let now = own.clock.now();
    if let Some(payment) = own.payments.find(&made).await.map_err(unread)? {
        let is_own = Expected::at(at).check_origin(&payment);
        return is_own.map(|()| Some(payment.id)).map_err(|why| Outcome::Stuck(why.to_string()));
    }
    if made.until.is_some_and(|until| now >= until + own.payments.horizon()) {
        return Ok(None);
    }
    match own.payments.forbid(&made, &asked(own, at)).await {
        Ok(Fate::Never) => Ok(None),
        Ok(Fate::Used) => Err(undecided("the payment does not show yet")),
        Err(error) => Err(unread(error)),
    }
}
