//! The steps at the payment provider: authorise, then capture. What undoes them is in `undo.rs`.
//!
//! A look-up that finds nothing proves nothing: an earlier attempt may still be under way. So no
//! step is refused because of one. An order that is cancelled meanwhile is undone by its event, and
//! that ends with proof.

use std::time::Duration;

use domain::order::OrderStatus;
use saga::Outcome;

use self::undo::{Settled, settled};
use super::actions::{OrderFulfilment, call, called_off, failed, stuck, unread};
use super::expected::Expected;
use super::progress::{Progress, Returned};
use super::{AUTHORISE, Why};
use crate::port::payment::{Authorisation, Payment, PaymentId, PaymentState};
use crate::port::{Code, Fate, GatewayError};

mod refund;
mod undo;

pub(super) use undo::{undo_authorise, undo_capture};

/// How long to wait until the provider is asked again for a payment that is not decided. Usually
/// the provider's event comes first.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Sets the money aside.
pub(super) async fn authorise(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    if at.total().minor() == 0 {
        return Outcome::Done(Returned::Free.value());
    }
    let status = match own.status(at).await {
        Ok(status) => status,
        Err(outcome) => return outcome,
    };
    let found =
        if own.is_repeat(at) { own.payments.find(&call(at)).await } else { Ok(None) };
    let found = match found {
        Ok(None) if status == OrderStatus::Confirmed => {
            own.payments.authorise(&call(at), &asked(own, at)).await.map(Some)
        }
        found => found,
    };
    match (found, status) {
        (Err(error), _) => failed(error, declined),
        (Ok(Some(payment)), OrderStatus::Confirmed | OrderStatus::Cancelled) => {
            authorised(at, payment)
        }
        (Ok(None), OrderStatus::Cancelled) => called_off(),
        // Somebody has recorded another payment.
        (Ok(Some(payment)), _) => set_free(own, at, &payment.id).await,
        (Ok(None), _) => not_needed(own, at).await,
    }
}

/// What the saga asks the provider for.
fn asked(own: &OrderFulfilment, at: &Progress<'_>) -> Authorisation {
    let (order, saga, amount) = (at.order_id(), at.call.instance, at.total());
    Authorisation { order, saga, amount, method: own.method.clone() }
}

fn authorised(at: &Progress<'_>, payment: Payment) -> Outcome {
    if let Err(why) = Expected::at(at).check(&payment) {
        return Outcome::Stuck(why.to_string());
    }
    match payment.state {
        PaymentState::Authorised | PaymentState::Captured => known(&payment.id),
        PaymentState::Pending => undecided("the payment is not decided"),
        PaymentState::Declined(code) => declined(&code),
        PaymentState::Released => declined(&Code::new("released")),
    }
}

fn known(payment: &PaymentId) -> Outcome {
    Outcome::Done(Returned::Payment(payment.as_str().to_owned()).value())
}

/// The provider sends an event when it is decided. If that gets lost, a look-up helps.
fn undecided(reason: &str) -> Outcome {
    Outcome::Unavailable { reason: reason.to_owned(), retry_after: Some(ASK_AGAIN) }
}

fn declined(code: &Code) -> Outcome {
    Why::Declined(code.as_str().to_owned()).refuses()
}

/// The payment is not needed, because somebody recorded another one. None shows at the provider, and
/// none may come later.
async fn not_needed(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    match own.payments.forbid(&call(at), &asked(own, at)).await {
        Ok(Fate::Never) => Outcome::Done(Returned::ByHand.value()),
        // The next attempt looks it up.
        Ok(Fate::Used) => undecided("the payment does not show yet"),
        Err(error) => failed(error, declined),
    }
}

/// Releases an authorisation that is not needed, because somebody recorded another payment.
async fn set_free(own: &OrderFulfilment, at: &Progress<'_>, payment: &PaymentId) -> Outcome {
    match settled(own, at, payment).await {
        Ok(Settled::Free) => Outcome::Done(Returned::ByHand.value()),
        // The next step finds that it was paid twice.
        Ok(Settled::Taken(_)) => known(payment),
        Err(outcome) => outcome,
    }
}

/// Takes the money that is set aside.
pub(super) async fn capture(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let Some(id) = at.payment() else {
        let authorised = at.result(AUTHORISE).unwrap_or(Returned::ByHand);
        return Outcome::Done(authorised.value());
    };
    let status = match own.status(at).await {
        Ok(status) => status,
        Err(outcome) => return outcome,
    };
    let is_wanted = status == OrderStatus::Confirmed;
    // A repeat finds what an earlier attempt did: the stored answer may be older.
    let is_read = own.is_repeat(at) || !is_wanted;
    let before = if is_read { own.payments.read(&call(at), &id).await.map(Some) } else { Ok(None) };
    let payment = match before {
        Err(error) => return unread(error),
        Ok(Some(payment)) if !is_wanted || payment.state != PaymentState::Authorised => payment,
        Ok(_) => match capture_now(own, at, &id).await {
            Ok(payment) => payment,
            Err(outcome) => return outcome,
        },
    };
    match (&payment.state, status) {
        (PaymentState::Captured, _) => match Expected::at(at).check(&payment) {
            Ok(()) => known(&id),
            Err(why) => Outcome::Stuck(why.to_string()),
        },
        (PaymentState::Declined(code), OrderStatus::Confirmed) => declined(code),
        (PaymentState::Released, OrderStatus::Confirmed) => declined(&Code::new("released")),
        (_, OrderStatus::Confirmed) => undecided("the provider has not captured it"),
        (_, OrderStatus::Cancelled) => called_off(),
        (_, _) => set_free(own, at, &id).await,
    }
}

/// Captures the payment. One that was captured or released before is returned as it is.
///
/// # Errors
/// What the step returns if the provider captures nothing.
async fn capture_now(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    id: &PaymentId,
) -> Result<Payment, Outcome> {
    let refused = match own.payments.capture(&call(at), id, at.total()).await {
        Err(refused @ GatewayError::Invalid { .. }) => refused,
        done => return done.map_err(|error| failed(error, declined)),
    };
    match own.payments.read(&call(at), id).await {
        Ok(payment) if payment.state != PaymentState::Authorised => Ok(payment),
        Ok(_) => Err(stuck(&refused)),
        Err(error) => Err(unread(error)),
    }
}
