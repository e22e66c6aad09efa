//! The step at the shipper, and what cancels it.

use domain::order::{Order, OrderStatus};
use domain::value::Destination;
use saga::Outcome;
use serde_json::Value;
use uuid::Uuid;

use super::actions::{OrderFulfilment, call, call_with, failed, made, not_undone, unread};
use super::progress::{Progress, Returned};
use super::{SHIP, Why};
use crate::port::shipping::{Made, Parcel, Shipment, ShipmentState};
use crate::port::{Code, GatewayError};

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
    let found = match (at.call.attempt, is_open) {
        (1, true) => request(own, at, &order, destination).await,
        (1, false) => Ok(Requested::Not),
        _ => match own.shipping.look_up(&call(at), &Made::Request).await {
            Ok(None) if is_open => request(own, at, &order, destination).await,
            found => found.map(|found| found.map_or(Requested::Not, Requested::Shipment)),
        },
    };
    match (found, status) {
        (Err(error), _) => failed(error, rejected),
        (Ok(Requested::NoAddress), _) => rejected(&Code::new("no_address")),
        (Ok(Requested::Failed(outcome)), _) => outcome,
        (Ok(Requested::Shipment(shipment)), OrderStatus::Paid | OrderStatus::Cancelled) => {
            requested(&shipment)
        }
        (Ok(Requested::Not), OrderStatus::Cancelled) => Why::Cancelled.refuses(),
        // Somebody has recorded another shipment.
        (Ok(Requested::Shipment(shipment)), _) => call_off(own, at, shipment).await,
        (Ok(Requested::Not), _) => Outcome::Done(Returned::ByHand.value()),
    }
}

/// What became of a request.
enum Requested {
    /// There is a shipment.
    Shipment(Shipment),
    /// The address is erased.
    NoAddress,
    /// The address cannot be read now.
    Failed(Outcome),
    /// There was no request, and none is made.
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
    if shipment.state == ShipmentState::Cancelled {
        return Outcome::Done(Returned::ByHand.value());
    }
    let key = Uuid::new_v5(&at.call.idempotency_key, b"cancel");
    match own.shipping.cancel(&call_with(at, key), &shipment.id).await {
        Ok(_) => Outcome::Done(Returned::ByHand.value()),
        // The next step finds that it was shipped twice.
        Err(GatewayError::Declined { .. }) => requested(&shipment),
        Err(error) => failed(error, rejected),
    }
}

/// Cancels the shipment, if there is one. One that is on its way cannot be cancelled: a person has
/// to look.
pub(super) async fn undo_ship(own: &OrderFulfilment, at: &Progress<'_>) -> Outcome {
    if at.is_shipped_by_hand() {
        return Outcome::Done(Value::Null);
    }
    let made = made(at, SHIP);
    let shipment = match own.shipping.look_up(&made, &Made::Request).await {
        Ok(Some(shipment)) => shipment,
        Ok(None) => return Outcome::Done(Value::Null),
        Err(error) => return unread(error),
    };
    match shipment.state {
        ShipmentState::Cancelled => Outcome::Done(Value::Null),
        ShipmentState::Dispatched | ShipmentState::Delivered => on_its_way(),
        ShipmentState::Requested => match own.shipping.cancel(&call(at), &shipment.id).await {
            Ok(_) => Outcome::Done(Value::Null),
            Err(GatewayError::Declined { .. }) => on_its_way(),
            Err(error) => not_undone(error),
        },
    }
}

fn on_its_way() -> Outcome {
    Outcome::rejected("the shipment is on its way")
}
