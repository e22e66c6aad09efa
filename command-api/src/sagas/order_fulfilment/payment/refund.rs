//! Gives captured money back. Only a refund that the provider has done counts; one that is pending
//! is asked for again, and a person looks at one that failed.
//!
//! The provider's list of refunds says what was given back, whatever the keys were. The key of a
//! refund has its amount in it, because the provider refuses another amount under a key.

use std::time::Duration;

use domain::value::Money;
use saga::Outcome;
use uuid::Uuid;

use super::super::actions::{OrderFulfilment, call, call_with, not_undone, unread};
use super::super::progress::{Progress, Returned};
use crate::port::Code;
use crate::port::payment::{PaymentId, Refund, RefundState, Repayment};

/// How long to wait until a pending refund is looked at again, at first. It doubles each time.
const FIRST_POLL: Duration = Duration::from_mins(1);
/// How long to wait at most.
const LONGEST_POLL: Duration = Duration::from_hours(1);

/// Gives back what was captured and is still held.
pub(super) async fn give_back(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    payment: &PaymentId,
    captured: Money,
) -> Outcome {
    // The order first: what the provider shows then is not older.
    let held = match own.shop.order(at.order_id()).await {
        // Staff may have given back a part of it by hand.
        Ok(order) if at.is_payment_recorded() => order.state.held().unwrap_or(captured),
        Ok(_) => captured,
        Err(error) => return Outcome::unavailable(cli_kit::describe(&error)),
    };
    let refunds = match own.payments.refunds(&call(at), payment).await {
        Ok(refunds) => refunds,
        Err(error) => return unread(error),
    };
    let ours = |refund: &&Refund| refund.saga == Some(at.call.instance);
    let ours: Vec<&Refund> = refunds.iter().filter(ours).collect();
    let given = ours.iter().filter(|it| !matches!(it.state, RefundState::Failed(_)));
    let given: i64 = given.map(|refund| refund.amount.minor()).sum();
    let is_changed = at.held_when_closed().is_some_and(|first| first != held.minor());
    if at.call.attempt > 1 && given == 0 && is_changed {
        // An earlier attempt may have asked for the other amount, and does not show yet.
        return Outcome::rejected("somebody gave money back while a refund may be under way");
    }
    let owed = held.minor().min(captured.minor()) - given;
    let is_pending = ours.iter().any(|refund| refund.state == RefundState::Pending);
    if owed <= 0 {
        return if is_pending { pending(at) } else { given_back(payment) };
    }
    let Ok(amount) = Money::from_minor(owed, captured.currency()) else {
        return Outcome::unavailable("the amount to give back is not an amount");
    };
    let key = Uuid::new_v5(&at.call.idempotency_key, format!("refund/{owed}").as_bytes());
    if let Some(code) = ours.iter().find_map(|refund| failed(refund, key)) {
        return not_given_back(code);
    }
    let asked = Repayment { payment: payment.clone(), amount, saga: at.call.instance };
    match own.payments.refund(&call_with(at, key), &asked).await.map(|refund| refund.state) {
        Ok(RefundState::Succeeded) if !is_pending => given_back(payment),
        Ok(RefundState::Succeeded | RefundState::Pending) => pending(at),
        Ok(RefundState::Failed(code)) => not_given_back(&code),
        Err(error) => not_undone(error),
    }
}

/// Why the refund under this key failed; `None` if it is another one, or did not fail.
fn failed(refund: &Refund, key: Uuid) -> Option<&Code> {
    match &refund.state {
        RefundState::Failed(code) if refund.key == Some(key) => Some(code),
        _ => None,
    }
}

fn given_back(payment: &PaymentId) -> Outcome {
    Outcome::Done(Returned::Payment(payment.as_str().to_owned()).value())
}

fn not_given_back(code: &Code) -> Outcome {
    Outcome::rejected(format!("the provider could not give the money back: {code}"))
}

/// The provider has accepted the refund and not done it.
fn pending(at: &Progress<'_>) -> Outcome {
    let doublings = at.call.attempt.saturating_sub(1).min(16);
    let wait = FIRST_POLL.saturating_mul(1 << doublings).min(LONGEST_POLL);
    Outcome::Unavailable { reason: "the refund is pending".to_owned(), retry_after: Some(wait) }
}
