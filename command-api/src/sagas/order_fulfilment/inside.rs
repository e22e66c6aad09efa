//! The steps in the log: their events are appended together with the outcome of the step.

use domain::order::{OrderError, OrderStatus};
use domain::value::{Evidence, Reason, ReasonError};
use saga::{Outcome, Work};
use serde_json::Value;

use super::progress::{Progress, Returned};
use super::{CAPTURE, SHIP, Why};
use crate::application::CommandError;
use crate::application::use_case::record_order::Happening;
use crate::application::use_case::{
    AggregateError, EndUnfulfilled, Note, Payment, RecordOrder, ReserveStock, Shipment,
};
use crate::sagas::Shop;

/// The reasons of what the saga records, in the events of orders.
const CHARGED: &str = "charged by order fulfilment";
const FREE: &str = "nothing to pay";
const SHIPPED: &str = "handed to the shipper by order fulfilment";
const GIVEN_BACK: &str = "given back by order fulfilment";

/// Reserves the stock, all of it or nothing.
pub(super) async fn reserve(shop: &Shop, at: &Progress<'_>) -> Outcome {
    match shop.decide(&ReserveStock { order_id: at.order_id() }, at.call).await {
        Ok(work) => Outcome::Append(work, Value::Null),
        Err(error) => refused(&error),
    }
}

/// Records the payment, unless a person did.
pub(super) async fn record_payment(shop: &Shop, at: &Progress<'_>) -> Outcome {
    if at.is_paid_by_hand() {
        return Outcome::Done(Returned::ByHand.value());
    }
    let captured = at.result(CAPTURE).unwrap_or(Returned::Free);
    let words = if captured == Returned::Free { FREE } else { CHARGED };
    let note = match note(words, at.evidence(CAPTURE)) {
        Ok(note) => note,
        Err(error) => return Outcome::unavailable(error.to_string()),
    };
    match record::<Payment>(shop, at, note).await {
        Ok(work) => Outcome::Append(work, captured.value()),
        Err(CommandError::Refused(AggregateError::Order(OrderError::OtherStatus {
            status: OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered,
            ..
        }))) => paid_by_hand(shop, at, &captured).await,
        Err(other) => refused(&other),
    }
}

/// A person has recorded a payment meanwhile: the same as the saga's, or another one.
async fn paid_by_hand(shop: &Shop, at: &Progress<'_>, captured: &Returned) -> Outcome {
    match shop.order(at.order_id()).await {
        Ok(order) => {
            let own = at.evidence(CAPTURE);
            let is_same = own.is_some() && order.state.paid_with() == own.as_ref();
            let returned = if is_same { captured } else { &Returned::ByHand };
            Outcome::Done(returned.value())
        }
        Err(error) => Outcome::unavailable(cli_kit::describe(&error)),
    }
}

/// Records the shipment, unless a person did.
pub(super) async fn record_shipment(shop: &Shop, at: &Progress<'_>) -> Outcome {
    if at.is_shipped_by_hand() {
        return Outcome::Done(Returned::ByHand.value());
    }
    let shipped = at.result(SHIP).unwrap_or(Returned::ByHand);
    let note = match note(SHIPPED, at.evidence(SHIP)) {
        Ok(note) => note,
        Err(error) => return Outcome::unavailable(error.to_string()),
    };
    match record::<Shipment>(shop, at, note).await {
        Ok(work) => Outcome::Append(work, shipped.value()),
        Err(error) => refused(&error),
    }
}

async fn record<H: Happening>(
    shop: &Shop,
    at: &Progress<'_>,
    note: Note,
) -> Result<Work, CommandError> {
    shop.decide(&RecordOrder::<H>::noted(at.order_id(), note), at.call).await
}

/// Cancels the order before its money is given back, so that nobody can ship it meanwhile. An order
/// that was shipped already keeps its payment.
pub(super) async fn close(shop: &Shop, at: &Progress<'_>) -> Outcome {
    let why = at.why();
    if why == Why::TakenOver {
        return Outcome::Done(Value::Null);
    }
    let (order_id, cancellation) = (at.order_id(), why.cancellation());
    let closed = EndUnfulfilled { order_id, cancellation, refunded: None };
    let work = match shop.decide(&closed, at.call).await {
        Ok(work) => work,
        Err(error) => return Outcome::unavailable(cli_kit::describe(&error)),
    };
    // Read after the decision. If somebody ships it in between, the append is refused, and this is
    // called again.
    let order = match shop.order(order_id).await {
        Ok(order) => order.state,
        Err(error) => return Outcome::unavailable(cli_kit::describe(&error)),
    };
    let returned = match order.status() {
        Some(OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded) => {
            Returned::Kept.value()
        }
        // The amount of the refund is fixed here, in the log.
        _ => order.held().map_or(Value::Null, |held| Returned::Held(held.minor()).value()),
    };
    Outcome::Append(work, returned)
}

/// Records that what was captured has been given back.
pub(super) async fn end(shop: &Shop, at: &Progress<'_>) -> Outcome {
    let why = at.why();
    if why == Why::TakenOver {
        return Outcome::Done(Value::Null);
    }
    let is_refunded = at.is_refunded() && at.is_payment_recorded();
    let refunded = match is_refunded.then(|| note(GIVEN_BACK, at.evidence(CAPTURE))).transpose() {
        Ok(refunded) => refunded,
        Err(error) => return Outcome::unavailable(error.to_string()),
    };
    let cancellation = why.cancellation();
    let ended = EndUnfulfilled { order_id: at.order_id(), cancellation, refunded };
    match shop.decide(&ended, at.call).await {
        Ok(work) => Outcome::Append(work, Value::Null),
        Err(error) => Outcome::unavailable(cli_kit::describe(&error)),
    }
}

fn note(words: &str, evidence: Option<Evidence>) -> Result<Note, ReasonError> {
    Ok(Note { reason: Reason::parse(words)?, evidence })
}

/// What the refusal of a use case means for its step.
fn refused(error: &CommandError) -> Outcome {
    match error {
        CommandError::OutOfStock(lines) => Why::short(lines).refuses(),
        CommandError::Refused(AggregateError::Order(OrderError::OtherStatus {
            status, ..
        })) => Why::of_status(*status).refuses(),
        // The cause passes by itself, or a person has to look.
        error => Outcome::unavailable(cli_kit::describe(error)),
    }
}
