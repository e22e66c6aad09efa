//! What the saga's steps do, by their names.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::order::OrderStatus;
use saga::{Actions, Call, Outcome};
use serde_json::Value;
use service_kit::clock::SharedClock;
use uuid::Uuid;

use super::progress::Progress;
use super::{
    ACCEPT, AUTHORISE, CAPTURE, RECORD_PAYMENT, RECORD_SHIPMENT, RESERVE, SHIP, inside, payment,
    shipment, twice,
};
use crate::port::payment::MethodToken;
use crate::port::{
    Call as GatewayCall, Code, GatewayError, KEYS_LAST, PaymentGateway, Shipping,
};
use crate::sagas::Shop;

/// How long a call to another system may take, with all its attempts. It is less than the saga
/// engine waits, so that the engine never drops one whose outcome is still to come.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// The other systems.
#[derive(Debug, Clone)]
pub struct Gateways {
    /// The payment provider.
    pub payments: Arc<dyn PaymentGateway>,
    /// The shipper.
    pub shipping: Arc<dyn Shipping>,
    /// The provider's token of what pays. It is the same for every order.
    pub method: MethodToken,
    /// The clock by which look-ups become proof.
    pub clock: SharedClock,
}

/// The actions of the saga.
pub struct OrderFulfilment {
    pub(super) shop: Shop,
    pub(super) payments: Arc<dyn PaymentGateway>,
    pub(super) shipping: Arc<dyn Shipping>,
    pub(super) method: MethodToken,
    pub(super) clock: SharedClock,
}

impl OrderFulfilment {
    /// The actions in this shop, with these gateways.
    pub fn new(shop: Shop, gateways: Gateways) -> Self {
        let Gateways { payments, shipping, method, clock } = gateways;
        Self { shop, payments, shipping, method, clock }
    }

    /// Whether the call of this step may have been made before. A process that died after the call
    /// makes it again as the same attempt, under the same key. That is safe while the provider
    /// keeps the key: half of that time leaves room for slow calls and wrong clocks.
    pub(super) fn is_repeat(&self, at: &Progress<'_>) -> bool {
        let age = (self.clock.now() - at.facts.since).to_std().unwrap_or_default();
        at.call.attempt > 1 || age > KEYS_LAST / 2
    }

    /// The status of the order now.
    ///
    /// # Errors
    /// What the step returns if it cannot be read.
    pub(super) async fn status(&self, at: &Progress<'_>) -> Result<OrderStatus, Outcome> {
        match self.shop.order(at.order_id()).await {
            Ok(order) => order.state.status().ok_or_else(|| {
                // The log has lost its end, and a person is about to begin a new epoch.
                Outcome::unavailable("there is no such order")
            }),
            Err(error) => Err(Outcome::unavailable(cli_kit::describe(&error))),
        }
    }
}

#[async_trait]
impl Actions for OrderFulfilment {
    async fn run(&self, call: &Call) -> Outcome {
        let at = match Progress::of(call) {
            Ok(at) => at,
            Err(error) => return Outcome::unavailable(format!("its data cannot be read: {error}")),
        };
        match call.step {
            // From here on, any failure ends the order.
            ACCEPT => Outcome::Done(Value::Null),
            RESERVE => inside::reserve(&self.shop, &at).await,
            AUTHORISE => payment::authorise(self, &at).await,
            CAPTURE => payment::capture(self, &at).await,
            RECORD_PAYMENT => inside::record_payment(&self.shop, &at).await,
            SHIP => match twice::give_back(self, &at).await {
                Ok(()) => shipment::ship(self, &at).await,
                Err(outcome) => outcome,
            },
            RECORD_SHIPMENT => inside::record_shipment(&self.shop, &at).await,
            step => unknown(step),
        }
    }

    async fn compensate(&self, call: &Call) -> Outcome {
        let at = match Progress::of(call) {
            Ok(at) => at,
            Err(error) => return Outcome::unavailable(format!("its data cannot be read: {error}")),
        };
        match call.step {
            ACCEPT => inside::end(&self.shop, &at).await,
            RECORD_PAYMENT => inside::close(&self.shop, &at).await,
            AUTHORISE => payment::undo_authorise(self, &at).await,
            CAPTURE if at.is_given_back() => Outcome::Done(Value::Null),
            CAPTURE => payment::undo_capture(self, &at).await,
            SHIP => shipment::undo_ship(self, &at).await,
            step => unknown(step),
        }
    }
}

fn unknown(step: &str) -> Outcome {
    Outcome::unavailable(format!("this program does not know the step {step}"))
}

/// The call to a port for this step, under its key.
pub(super) fn call(at: &Progress<'_>) -> GatewayCall {
    call_with(at, at.call.idempotency_key)
}

/// A call to a port under another key: a second call of the step, or one that is looked up.
pub(super) fn call_with(at: &Progress<'_>, key: Uuid) -> GatewayCall {
    GatewayCall {
        key,
        since: at.facts.since,
        until: None,
        traceparent: at.call.metadata.traceparent.clone(),
        limit: Some(CALL_LIMIT),
    }
}

/// The call of an action that may have been made, to look up what became of it.
pub(super) fn made(at: &Progress<'_>, step: &str) -> GatewayCall {
    let until = at.call.deadlines.get(step).copied();
    GatewayCall { until, ..call_with(at, saga::id::of_call(at.call.instance, step)) }
}

/// The order of a step was cancelled meanwhile. Its event undoes the saga. This is no refusal: an
/// earlier attempt may be under way, and what undoes the step has to see to it.
pub(super) fn called_off() -> Outcome {
    Outcome::unavailable("the order is cancelled")
}

/// The other system does not accept the call. That is no decision about the customer, and another
/// attempt helps only after a person has changed something.
pub(super) fn stuck(error: &GatewayError) -> Outcome {
    Outcome::Stuck(error.to_string())
}

/// The outcome of a change that undoes something. A person looks at one that is not accepted: the
/// provider keeps its refusal with the key.
pub(super) fn not_undone(error: GatewayError) -> Outcome {
    match error {
        GatewayError::Invalid { .. } => Outcome::rejected(error.to_string()),
        error => unread(error),
    }
}

/// What the error of a call means for its step. `declined` makes the refusal.
pub(super) fn failed(error: GatewayError, declined: impl FnOnce(&Code) -> Outcome) -> Outcome {
    match error {
        GatewayError::Declined { code } => declined(&code),
        error => unread(error),
    }
}

/// The outcome of a call that is repeated under its key. A person looks first at one that is
/// refused: the provider keeps its refusal with the key, or refuses our settings.
pub(super) fn unread(error: GatewayError) -> Outcome {
    let reason = error.to_string();
    match error {
        GatewayError::Declined { .. } => Outcome::rejected(reason),
        GatewayError::Invalid { .. } => Outcome::Stuck(reason),
        GatewayError::Unavailable { retry_after, .. }
        | GatewayError::Unknown { retry_after, .. } => {
            Outcome::Unavailable { reason, retry_after }
        }
    }
}
