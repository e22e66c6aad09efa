//! A payment provider and a shipper in memory. They keep idempotency keys as real ones do, and
//! misbehave as a test asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use command_api::port::payment::{Authorisation, Made, Payment, PaymentId, PaymentState, Refunded};
use command_api::port::shipping::{self, Parcel, Shipment, ShipmentId, ShipmentState};
use command_api::port::{Call, Code, GatewayError, PaymentGateway, Shipping};
use domain::value::Money;
use uuid::Uuid;

/// What the next call of an operation meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No effect, and an error.
    Away,
    /// The effect, and no answer.
    Lost,
    Declined,
    /// The bank decides later.
    Pending,
}

#[derive(Debug, Default)]
struct Books {
    /// By the key of the authorisation.
    payments: BTreeMap<Uuid, Payment>,
    refunds: BTreeMap<Uuid, (PaymentId, Money)>,
    /// The keys of refunds that were refused: the refusal stays with the key.
    refused: BTreeSet<Uuid>,
    /// By the key of the request.
    shipments: BTreeMap<Uuid, Shipment>,
    /// What the next calls meet, by operation.
    faults: Vec<(&'static str, Fault)>,
    calls: Vec<&'static str>,
    /// Until when the calls ended whose payments were searched for.
    searched: Vec<Option<DateTime<Utc>>>,
}

/// The payment provider and the shipper.
#[derive(Debug, Default)]
pub(crate) struct World(Mutex<Books>);

/// What stands at the gateways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) authorised: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) shipped: usize,
}

impl World {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn meets(&self, faults: &[(&'static str, Fault)]) {
        self.books().faults.extend_from_slice(faults);
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.books().calls.clone()
    }

    /// The searches for payments since the last question: until when their calls ended, if that is
    /// known.
    pub(crate) fn searched(&self) -> Vec<Option<DateTime<Utc>>> {
        std::mem::take(&mut self.books().searched)
    }

    /// The bank decides about a pending payment.
    pub(crate) fn decides(&self, state: &PaymentState) {
        for payment in self.books().payments.values_mut() {
            if payment.state == PaymentState::Pending {
                payment.state.clone_from(state);
            }
        }
    }

    /// The shipper fetches everything.
    pub(crate) fn dispatches(&self) {
        for shipment in self.books().shipments.values_mut() {
            shipment.state = ShipmentState::Dispatched;
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let books = self.books();
        let authorised = |payment: &&Payment| {
            matches!(payment.state, PaymentState::Authorised | PaymentState::Pending)
        };
        let sum = |minors: &mut dyn Iterator<Item = i64>| minors.sum();
        Standing {
            authorised: sum(&mut books
                .payments
                .values()
                .filter(authorised)
                .map(|one| one.amount.minor())),
            captured: sum(&mut books.payments.values().map(|one| one.captured.minor())),
            refunded: sum(&mut books.refunds.values().map(|(_, amount)| amount.minor())),
            shipped: books
                .shipments
                .values()
                .filter(|one| one.state != ShipmentState::Cancelled)
                .count(),
        }
    }

    /// Begins a call: notes it, and returns the fault that it meets.
    fn begin(&self, operation: &'static str) -> Result<Option<Fault>, GatewayError> {
        let mut books = self.books();
        books.calls.push(operation);
        let at = books.faults.iter().position(|(of, _)| *of == operation);
        match at.map(|at| books.faults.remove(at).1) {
            Some(Fault::Away) => {
                Err(GatewayError::Unavailable { retry_after: None, why: "away".to_owned() })
            }
            Some(Fault::Declined) => Err(GatewayError::Declined { code: Code::new("no_funds") }),
            met => Ok(met),
        }
    }
}

/// The answer, unless it gets lost.
fn answer<T>(met: Option<Fault>, answer: T) -> Result<T, GatewayError> {
    if met == Some(Fault::Lost) {
        return Err(GatewayError::Unknown { why: "lost".to_owned() });
    }
    Ok(answer)
}

fn refused(code: &str) -> GatewayError {
    GatewayError::Invalid { code: Code::new(code) }
}

#[async_trait]
impl PaymentGateway for World {
    async fn authorise(&self, call: &Call, asked: &Authorisation) -> Result<Payment, GatewayError> {
        let met = self.begin("authorise")?;
        let mut books = self.books();
        let number = books.payments.len() + 1;
        let payment = books.payments.entry(call.key).or_insert_with(|| Payment {
            id: PaymentId::parse(&format!("pi_{number}")).unwrap(),
            order: Some(asked.order),
            amount: asked.amount,
            captured: Money::zero(asked.amount.currency()),
            state: match met {
                Some(Fault::Pending) => PaymentState::Pending,
                _ => PaymentState::Authorised,
            },
        });
        answer(met, payment.clone())
    }

    async fn capture(
        &self,
        _: &Call,
        payment: &PaymentId,
        amount: Money,
    ) -> Result<Payment, GatewayError> {
        let met = self.begin("capture")?;
        let mut books = self.books();
        let found = books.payments.values_mut().find(|one| one.id == *payment).unwrap();
        match found.state {
            PaymentState::Authorised => {
                found.captured = amount;
                found.state = PaymentState::Captured;
            }
            PaymentState::Captured => {}
            _ => return Err(refused("unexpected_state")),
        }
        answer(met, found.clone())
    }

    async fn release(&self, _: &Call, payment: &PaymentId) -> Result<Payment, GatewayError> {
        let met = self.begin("release")?;
        let mut books = self.books();
        let found = books.payments.values_mut().find(|one| one.id == *payment).unwrap();
        if found.state == PaymentState::Captured {
            return Err(refused("unexpected_state"));
        }
        found.state = PaymentState::Released;
        answer(met, found.clone())
    }

    async fn refund(
        &self,
        call: &Call,
        payment: &PaymentId,
        amount: Money,
    ) -> Result<Refunded, GatewayError> {
        let met = self.begin("refund");
        if matches!(met, Err(GatewayError::Declined { .. })) {
            self.books().refused.insert(call.key);
        }
        let met = met?;
        if self.books().refused.contains(&call.key) {
            return Err(GatewayError::Declined { code: Code::new("no_funds") });
        }
        self.books().refunds.entry(call.key).or_insert((payment.clone(), amount));
        answer(met, Refunded::Done)
    }

    async fn look_up(&self, call: &Call, made: &Made) -> Result<Option<Payment>, GatewayError> {
        self.begin("look_up_payment")?;
        let mut books = self.books();
        if *made == Made::Authorisation {
            books.searched.push(call.until);
        }
        let by_id = |id: &PaymentId| books.payments.values().find(|one| one.id == *id).cloned();
        Ok(match made {
            Made::Authorisation => books.payments.get(&call.key).cloned(),
            Made::Capture(id) => by_id(id).filter(|one| one.state == PaymentState::Captured),
            Made::Release(id) => by_id(id).filter(|one| one.state == PaymentState::Released),
            Made::Refund(id) => by_id(id).filter(|_| books.refunds.contains_key(&call.key)),
        })
    }
}

#[async_trait]
impl Shipping for World {
    async fn request(&self, call: &Call, parcel: &Parcel) -> Result<Shipment, GatewayError> {
        let met = self.begin("request")?;
        let mut books = self.books();
        let number = books.shipments.len() + 1;
        let shipment = books.shipments.entry(call.key).or_insert_with(|| Shipment {
            id: ShipmentId::parse(&format!("shp_{number}")).unwrap(),
            order: parcel.order,
            tracking: None,
            state: ShipmentState::Requested,
        });
        answer(met, shipment.clone())
    }

    async fn cancel(&self, _: &Call, shipment: &ShipmentId) -> Result<Shipment, GatewayError> {
        let met = self.begin("cancel")?;
        let mut books = self.books();
        let found = books.shipments.values_mut().find(|one| one.id == *shipment).unwrap();
        if found.state != ShipmentState::Requested {
            return Err(GatewayError::Declined { code: Code::new("dispatched") });
        }
        found.state = ShipmentState::Cancelled;
        answer(met, found.clone())
    }

    async fn look_up(
        &self,
        call: &Call,
        made: &shipping::Made,
    ) -> Result<Option<Shipment>, GatewayError> {
        self.begin("look_up_shipment")?;
        let books = self.books();
        Ok(match made {
            shipping::Made::Request => books.shipments.get(&call.key).cloned(),
            shipping::Made::Cancellation(id) => {
                let cancelled = |one: &&Shipment| one.state == ShipmentState::Cancelled;
                books.shipments.values().filter(cancelled).find(|one| one.id == *id).cloned()
            }
        })
    }
}
