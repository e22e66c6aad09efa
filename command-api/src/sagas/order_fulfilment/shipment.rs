//! The step at the shipper, and what cancels it.

use domain::order::{Order, OrderStatus};
use domain::value::Destination;
use saga::Outcome;
use serde_json::Value;
use uuid::Uuid;

use super::actions::{
    OrderFulfilment, call, call_with, called_off, failed, made, not_undone, unread,
};
use super::progress::{Progress, Returned};
use super::{SHIP, Why};
use crate::port::shipping::{Parcel, Shipment, ShipmentState};
use crate::port::{Call, Code, Fate, GatewayError};

/// Asks the shipper to fetch the order.
pub(super) async fn ship(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    let order = match own.shop.order(at.order_id()).await {
        Ok(order) => order.state,
        Err(error) => return Outcome::unavailable(cli_kit::describe(&error)),
    };
    let status = order.status().unwrap_or(OrderStatus::Cancelled);
    let Some(destination) = order.destination().cloned() else {
        return handed_over(status);
    };
    let is_open = status == OrderStatus::Paid;
    let found = if own.is_repeat(at) { own.shipping.find(&call(at)).await } else { Ok(None) };
    let found = match found {
        Ok(None) if is_open => request(own, at, &order, destination).await,
        found => found.map(|found| found.map_or(Requested::Not, Requested::Shipment)),
    };
    match (found, status) {
        (Err(error), _) => failed(error, rejected),
        (Ok(Requested::NoAddress), _) => without_address(own, at).await,
        (Ok(Requested::Failed(outcome)), _) => outcome,
        (Ok(Requested::Shipment(shipment)), _) if shipment.order != at.order_id() => {
            Outcome::Stuck("the shipper shows the shipment of another order".to_owned())
        }
        (Ok(Requested::Shipment(shipment)), OrderStatus::Paid | OrderStatus::Cancelled) => {
            requested(&shipment)
        }
        (Ok(Requested::Not), OrderStatus::Cancelled) => called_off(),
        // Somebody has recorded another shipment.
        (Ok(Requested::Shipment(shipment)), _) => call_off(own, at, shipment).await,
        (Ok(Requested::Not), _) => not_needed(own, at).await,
    }
}

/// The shipment is not needed, because somebody recorded another one. None shows at the shipper, and
/// none may come later.
async fn not_needed(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    match own.shipping.forbid(&call(at)).await {
        Ok(Fate::Never) => Outcome::Done(Returned::ByHand.value()),
        // The next attempt looks it up.
        Ok(Fate::Used) => Outcome::unavailable(NOT_SHOWN),
        Err(error) => failed(error, rejected),
    }
}

/// The address is erased. An earlier attempt may still be under way, so it is forbidden first.
async fn without_address(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    match own.shipping.forbid(&call(at)).await {
        Ok(Fate::Never) => rejected(&Code::new("no_address")),
        Ok(Fate::Used) => Outcome::unavailable(NOT_SHOWN),
        Err(error) => failed(error, rejected),
    }
}

const NOT_SHOWN: &str = "the shipment does not show yet";

/// What became of a request.
enum Requested {
    /// There is a shipment.
    Shipment(Shipment),
    /// The address is erased.
    NoAddress,
    /// The address cannot be read now.
    Failed(Outcome),
    /// No request shows, and none is made now.
    Not,
}

/// What an order without a shipping address waits for: staff hand it over, and record that.
fn handed_over(status: OrderStatus) -> Outcome {
    match status {
        OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Paid => Outcome::Pending,
        OrderStatus::Cancelled => Why::Cancelled.refuses(),
        OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded => {
            Outcome::Done(Returned::ByHand.value())
        }
    }
}

async fn request(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    order: &Order,
    destination: Destination,
) -> Result<Requested, GatewayError> {
    let address = match own.shop.postal_address(at.order_id()).await {
        Ok(Some(address)) => address,
        Ok(None) => return Ok(Requested::NoAddress),
        Err(error) => {
            return Ok(Requested::Failed(Outcome::unavailable(cli_kit::describe(&error))));
        }
    };
    let parcel = Parcel { order: at.order_id(), address, destination, items: order.items() };
    own.shipping.request(&call(at), &parcel).await.map(Requested::Shipment)
}

/// An accepted shipment counts as shipped.
fn requested(shipment: &Shipment) -> Outcome {
    match shipment.state {
        ShipmentState::Requested | ShipmentState::Dispatched | ShipmentState::Delivered => {
            Outcome::Done(Returned::Shipment(shipment.id.as_str().to_owned()).value())
        }
        ShipmentState::Cancelled => rejected(&Code::new("cancelled")),
    }
}

fn rejected(code: &Code) -> Outcome {
    Why::Rejected(code.as_str().to_owned()).refuses()
}

/// Cancels a shipment that is not needed, because somebody recorded another one.
async fn call_off(own: &OrderFulfilment, at: &Progress<'_>, shipment: Shipment) -> Outcome {
    let key = Uuid::new_v5(&at.call.idempotency_key, b"cancel");
    match cancelled(own, at, &shipment, key).await {
        Ok(true) => Outcome::Done(Returned::ByHand.value()),
        // The next step finds that it was shipped twice.
        Ok(false) => requested(&shipment),
        Err(error) => failed(error, rejected),
    }
}

/// Cancels a shipment. Returns whether it is cancelled: one that is on its way cannot be.
async fn cancelled(
    own: &OrderFulfilment,
    at: &Progress<'_>,
    shipment: &Shipment,
    key: Uuid,
) -> Result<bool, GatewayError> {
    let now = match shipment.state {
        ShipmentState::Requested => match own.shipping.cancel(&call_with(at, key), &shipment.id).await {
            // It is on its way, or the shipper has cancelled it.
            Err(GatewayError::Declined { .. }) => own.shipping.read(&call(at), &shipment.id).await?,
            cancelled => cancelled?,
        },
        _ => shipment.clone(),
    };
    Ok(now.state == ShipmentState::Cancelled)
}

/// Cancels the shipment, if there is one, and makes sure that there will be none. One that is on its
/// way cannot be cancelled: a person has to look.
pub(super) async fn undo_ship(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    if at.is_shipped_by_hand() {
        return Outcome::Done(Value::Null);
    }
    let made = made(at, SHIP);
    let found = match at.shipment() {
        Some(id) => own.shipping.read(&made, &id).await.map(Some),
        None => own.shipping.find(&made).await,
    };
    let shipment = match found {
        Ok(Some(shipment)) => shipment,
        Ok(None) => return never(own, &made).await,
        Err(error) => return unread(error),
    };
    match cancelled(own, at, &shipment, at.call.idempotency_key).await {
        Ok(true) => Outcome::Done(Value::Null),
        Ok(false) => Outcome::rejected("the shipment is on its way"),
        Err(error) => not_undone(error),
    }
}

/// No shipment shows. The request may still be under way, so it is forbidden.
async fn never(own: &OrderFulfilment, made: &Call) -> Outcome {
    match own.shipping.forbid(made).await {
        Ok(Fate::Never) => Outcome::Done(Value::Null),
        Ok(Fate::Used) => Outcome::unavailable(NOT_SHOWN),
        Err(error) => unread(error),
    }
}
