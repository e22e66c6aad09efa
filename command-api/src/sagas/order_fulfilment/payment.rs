//! The steps at the payment provider: authorise, then capture. Their compensations first look at
//! what is there, because the outcome of a call may have been lost.

use std::time::Duration;

use domain::order::OrderStatus;
use saga::Outcome;
use serde_json::Value;
use uuid::Uuid;

use super::actions::{OrderFulfilment, call, call_with, failed, made, not_undone, unread};
use super::progress::{Progress, Returned};
use super::{AUTHORISE, CAPTURE, Why};
use crate::port::payment::{Authorisation, Made, Payment, PaymentId, PaymentState};
use crate::port::{Call, Code, GatewayError};

/// How long to wait until the provider is asked again for a payment that the bank decides on.
/// Usually the provider's event comes first.
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
    let is_first = at.call.attempt == 1;
    let found = match (is_first, status) {
        (true, OrderStatus::Confirmed) => authorise_now(own, at).await.map(Some),
        (true, _) => Ok(None),
        (false, status) => match own.payments.look_up(&call(at), &Made::Authorisation).await {
            Ok(None) if status == OrderStatus::Confirmed => authorise_now(own, at).await.map(Some),
            found => found,
        },
    };
    match (found, status) {
        (Err(error), _) => failed(error, declined),
        (Ok(Some(payment)), OrderStatus::Confirmed | OrderStatus::Cancelled) => authorised(payment),
        (Ok(None), OrderStatus::Cancelled) => Why::Cancelled.refuses(),
        // Somebody has recorded another payment.
        (Ok(Some(payment)), _) => set_free(own, at, &payment.id).await,
        (Ok(None), _) => Outcome::Done(Returned::ByHand.value()),
    }
}

async fn authorise_now(own: &OrderFulfilment, at: &Progress<'_>) -> Result<Payment, GatewayError> {
    let asked =
        Authorisation { order: at.order_id(), amount: at.total(), method: own.method.clone() };
    own.payments.authorise(&call(at), &asked).await
}

fn authorised(payment: Payment) -> Outcome {
    match payment.state {
        PaymentState::Authorised | PaymentState::Captured => {
            Outcome::Done(Returned::Payment(payment.id.as_str().to_owned()).value())
        }
        // The provider sends an event when the bank has decided. If it gets lost, a look-up helps.
        PaymentState::Pending => Outcome::Unavailable {
            reason: "the bank has not decided".to_owned(),
            retry_after: Some(ASK_AGAIN),
        },
        PaymentState::Declined(code) => declined(&code),
        PaymentState::Released => declined(&Code::new("released")),
    }
}

fn declined(code: &Code) -> Outcome {
    Why::Declined(code.as_str().to_owned()).refuses()
}

/// Releases an authorisation that is not needed, because somebody recorded another payment.
async fn set_free(own: &OrderFulfilment, at: &Progress<'_>, payment: &PaymentId) -> Outcome {
    let key = Uuid::new_v5(&at.call.idempotency_key, b"release");
    match own.payments.release(&call_with(at, key), payment).await {
        Ok(Payment { state: PaymentState::Captured, .. }) | Err(GatewayError::Declined { .. }) => {
            // The next step finds that it was paid twice.
            Outcome::Done(Returned::Payment(payment.as_str().to_owned()).value())
        }
        Ok(_) => Outcome::Done(Returned::ByHand.value()),
        Err(error) => failed(error, declined),
    }
}

/// Takes the money that is set aside.
pub(super) async fn capture(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let Some(payment) = at.payment() else {
        let authorised = at.result(AUTHORISE).unwrap_or(Returned::ByHand);
        return Outcome::Done(authorised.value());
    };
    let status = match own.status(at).await {
        Ok(status) => status,
        Err(outcome) => return outcome,
    };
    let found = match (status, at.call.attempt) {
        (OrderStatus::Confirmed, _) => {
            own.payments.capture(&call(at), &payment, at.total()).await.map(Some)
        }
        (_, 1) => Ok(None),
        _ => own.payments.look_up(&call(at), &Made::Capture(payment.clone())).await,
    };
    let found = found.map(|found| found.filter(|found| found.state == PaymentState::Captured));
    match (found, status) {
        (Err(error), _) => failed(error, declined),
        (Ok(Some(payment)), _) => {
            Outcome::Done(Returned::Payment(payment.id.as_str().to_owned()).value())
        }
        (Ok(None), OrderStatus::Confirmed) => Outcome::Unavailable {
            reason: "the provider has not captured it".to_owned(),
            retry_after: Some(ASK_AGAIN),
        },
        (Ok(None), OrderStatus::Cancelled) => Why::Cancelled.refuses(),
        (Ok(None), _) => set_free(own, at, &payment).await,
    }
}

/// Releases the authorisation, if there is one.
pub(super) async fn undo_authorise(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let returned = at.result(AUTHORISE);
    if matches!(returned, Some(Returned::ByHand | Returned::Free)) || at.is_payment_kept() {
        return Outcome::Done(Value::Null);
    }
    let made = made(at, AUTHORISE);
    let found = match at.payment() {
        Some(id) => return release_known(own, at, &made, &id).await,
        None => own.payments.look_up(&made, &Made::Authorisation).await,
    };
    let payment = match found {
        Ok(Some(payment)) => payment,
        Ok(None) => return Outcome::Done(Value::Null),
        Err(error) => return unread(error),
    };
    match payment.state {
        PaymentState::Authorised | PaymentState::Pending => released(own, at, &payment.id).await,
        // What was captured was given back before.
        PaymentState::Captured | PaymentState::Released | PaymentState::Declined(_) => {
            Outcome::Done(Value::Null)
        }
    }
}

/// Releases a payment whose id is known, so that nobody has to search for it.
async fn release_known(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    made: &Call,
    id: &PaymentId,
) -> Outcome {
    // What was captured was given back before.
    for became in [Made::Capture(id.clone()), Made::Release(id.clone())] {
        match own.payments.look_up(made, &became).await {
            Ok(Some(_)) => return Outcome::Done(Value::Null),
            Ok(None) => {}
            Err(error) => return unread(error),
        }
    }
    released(own, at, id).await
}

async fn released(own: &OrderFulfilment, at: &Progress<'_>, id: &PaymentId) -> Outcome {
    match own.payments.release(&call(at), id).await {
        Ok(Payment { state: PaymentState::Released | PaymentState::Declined(_), .. }) => {
            Outcome::Done(Value::Null)
        }
        Ok(_) => Outcome::unavailable("the authorisation is not released yet"),
        Err(error) => unread(error),
    }
}

/// Gives back what was captured, if anything was.
pub(super) async fn undo_capture(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let Some(payment) = at.payment().filter(|_| !at.is_payment_kept()) else {
        return Outcome::Done(Value::Null);
    };
    let made = made(at, CAPTURE);
    let captured = match own.payments.look_up(&made, &Made::Capture(payment.clone())).await {
        Ok(Some(found)) if found.state == PaymentState::Captured => found.captured,
        Ok(_) => return Outcome::Done(Value::Null),
        Err(error) => return unread(error),
    };
    let amount = match own.shop.order(at.order_id()).await {
        // Staff may have given back a part of it by hand.
        Ok(order) if at.is_payment_recorded() => order.state.held().unwrap_or(captured),
        Ok(_) => captured,
        Err(error) => return Outcome::unavailable(cli_kit::describe(&error)),
    };
    let refunded = Outcome::Done(Returned::Payment(payment.as_str().to_owned()).value());
    if amount.minor() == 0 {
        return refunded;
    }
    match own.payments.refund(&call(at), &payment, amount).await {
        Ok(_) => refunded,
        Err(error) => not_undone(error),
    }
}
