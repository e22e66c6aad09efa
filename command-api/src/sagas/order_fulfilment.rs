//! Order fulfilment: from a confirmed order to a shipped one. It reserves the stock, charges the
//! payment and asks the shipper. If one of these steps fails, it undoes the others and cancels the
//! order with a reason that the customer can read.
//!
//! | step | place | undone by |
//! | --- | --- | --- |
//! | `accept_order` | inside | recording the refund |
//! | `reserve_stock` | inside | (with the order) |
//! | `authorise_payment` | outside | releasing the authorisation |
//! | `capture_payment` | outside | a refund |
//! | `record_payment` | inside | cancelling the order, always, before its money is given back |
//! | `ship` | outside | cancelling the shipment |
//! | `record_shipment` | inside | nothing: it is the end |
//!
//! An accepted shipment counts as shipped. Delivery is not a part of the saga: the shipper reports
//! it later, and the process manager records it ([`Shipped`]).
//!
//! **Cancelled in the middle.** The usual command cancels the order at once, and releases its stock
//! in the same append. Its event is a signal to the saga, which undoes the rest. A step that is
//! under way meanwhile finds the order cancelled when it records its outcome.
//!
//! **Undone while people look.** An order is cancelled, and its stock released, before its money is
//! given back, so that nobody can ship it meanwhile. If somebody ships it before that, its payment
//! stays.
//!
//! **Recorded by hand in the middle.** Staff may record a payment or a shipment while the saga is
//! at work. The step then counts as succeeded, and what the saga had begun for it is undone: money
//! that it has taken already is given back (`twice.rs`). If both the shipper and staff have shipped
//! the order, the saga calls its shipment off and leaves the order to people
//! ([`Why::TakenOver`]).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::value::Money;
use event_store::{InvalidName, RecordedEvent};
use saga::{Actions, Definition, InvalidDefinition, Retry, Saga, Start, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

mod actions;
mod expected;
mod inside;
mod payment;
mod progress;
mod shipment;
mod shipped;
mod signals;
mod twice;
mod why;

pub use actions::{Gateways, OrderFulfilment};
pub use expected::{Expected, NotOurs};
pub use shipped::Shipped;
pub use why::Why;

/// The name of the saga.
pub const NAME: &str = "order_fulfilment";

/// The step that accepts the order: from then on, a failure ends it. The names of the steps are in
/// stored events and in idempotency keys, so they are permanent.
pub const ACCEPT: &str = "accept_order";
/// The step that reserves the stock. See [`ACCEPT`].
pub const RESERVE: &str = "reserve_stock";
/// The step that sets the money aside at the payment provider. See [`ACCEPT`].
pub const AUTHORISE: &str = "authorise_payment";
/// The step that takes the money that was set aside. See [`ACCEPT`].
pub const CAPTURE: &str = "capture_payment";
/// The step that records the payment of the order. See [`ACCEPT`].
pub const RECORD_PAYMENT: &str = "record_payment";
/// The step that asks the shipper. See [`ACCEPT`].
pub const SHIP: &str = "ship";
/// The step that records the shipment of the order. See [`ACCEPT`].
pub const RECORD_SHIPMENT: &str = "record_shipment";

/// The event that starts an instance.
const CONFIRMED: &str = "order.confirmed";

/// How a call to the shipper is repeated: until the step's deadline, which may be weeks away.
const SHIPPING: Retry = Retry { most: Duration::from_mins(30), ..Retry::DEFAULT };
/// How a compensation is repeated before a person has to look: for about four to eight hours.
const UNDOING: Retry =
    Retry { attempts: 100, first: Duration::from_millis(500), most: Duration::from_mins(5) };
/// How a refund is repeated: long enough for one that the provider does days later. A pending refund
/// is looked at hourly, so this is about three weeks for it, and a day or two for a provider that
/// does not answer.
const REFUNDING: Retry = Retry { attempts: 500, ..UNDOING };
/// How an inside step is repeated until its deadline, for example while a product has too many
/// reservations.
const INSIDE: Retry =
    Retry { first: Duration::from_millis(100), most: Duration::from_secs(30), ..Retry::DEFAULT };

/// How long the steps may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long the payment provider may take to authorise, and again to capture. Each step in the
    /// log may take as long.
    pub payment: Duration,
    /// How long it may take from the payment to the shipment. An order without a shipping address
    /// waits this long for staff.
    pub shipment: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { payment: Duration::from_hours(1), shipment: Duration::from_hours(30 * 24) }
    }
}

/// Returns the definition of the saga. It has one version so far.
pub fn definition(times: Times) -> Definition {
    let inside = |name| Step::inside(name).within(times.payment).retried(INSIDE);
    let outside =
        |name, within| Step::outside(name).within(within).undone_outside().undo_retried(UNDOING);
    Definition::version(1)
        .then(inside(ACCEPT).undone_inside().undo_retried(UNDOING))
        .then(inside(RESERVE))
        .then(outside(AUTHORISE, times.payment))
        .then(outside(CAPTURE, times.payment).undo_retried(REFUNDING))
        .then(inside(RECORD_PAYMENT).undone_inside().undone_anyway().undo_retried(UNDOING))
        .then(outside(SHIP, times.shipment).retried(SHIPPING))
        .then(inside(RECORD_SHIPMENT))
}

/// The saga with these actions.
///
/// # Errors
/// Never: the definition and the event types are valid.
pub fn saga(actions: impl Actions, times: Times) -> Result<Saga, InvalidSaga> {
    let saga = Saga::new(NAME, [definition(times)], Arc::new(actions))?;
    Ok(saga
        .started_by(vec![CONFIRMED.parse()?], start)
        .signalled_by(signals::types()?, signals::read))
}

/// Why the saga cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSaga {
    /// Its definition is not valid.
    #[error(transparent)]
    Definition(#[from] InvalidDefinition),
    /// The name of an event type is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// What an instance knows from its start: ids, the amount and the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The order.
    pub(crate) order_id: Uuid,
    /// What the customer pays.
    pub(crate) total: Money,
    /// When the order was confirmed. No call to another system was sent before.
    pub(crate) since: DateTime<Utc>,
}

/// The part of `order.confirmed` that counts here, in every version of it.
#[derive(Deserialize)]
struct Confirmed {
    order_id: Uuid,
    total: Money,
    /// Version 1 does not have it: people fulfil those orders.
    #[serde(default)]
    to_fulfil: bool,
}

/// What an order's confirmation starts. Nothing starts for an imported order, which was fulfilled
/// elsewhere, or for one that was confirmed by version 1.
fn start(event: &RecordedEvent) -> Option<Start> {
    let read = serde_json::from_str::<Confirmed>(event.data.get());
    let Confirmed { order_id, total, to_fulfil } = match read {
        Ok(confirmed) => confirmed,
        Err(error) => {
            let position = event.position.0;
            tracing::error!(position, %error, "a confirmed order cannot be read or fulfilled");
            return None;
        }
    };
    let facts = Facts { order_id, total, since: event.recorded_at };
    let data = serde_json::to_value(facts).unwrap_or(Value::Null);
    to_fulfil.then(|| Start { key: order_id.to_string(), data })
}

#[cfg(test)]
mod tests;
