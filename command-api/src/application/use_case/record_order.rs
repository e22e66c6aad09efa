//! Records what happened to an order outside: that it was paid, shipped, delivered or refunded.
//!
//! Staff record it with a reason, or the system on another system's evidence. The user who ordered
//! records nothing about the order.

use access::Permission;
use domain::order::{OrderCommand, Record};
use domain::value::{Currency, Evidence, Money, Reason};
use uuid::Uuid;

use super::{Decision, UseCase, Work, stock};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input};

/// Why something is recorded, as the caller writes it.
#[derive(Debug, Clone)]
pub struct RecordInput {
    /// The reason: a line of text that is not about a person.
    pub reason: String,
    /// The reference of a proof in another system.
    pub evidence: Option<String>,
}

/// A reason and the evidence, after they were read.
#[derive(Debug, Clone)]
pub struct Note {
    /// The reason.
    pub reason: Reason,
    /// The reference of a proof in another system.
    pub evidence: Option<Evidence>,
}

impl RecordInput {
    fn read(&self, fields: &mut Fields) -> Option<Note> {
        let reason = fields.value("reason", Reason::parse(&self.reason));
        let evidence = self.evidence.as_deref().map(Evidence::parse).transpose();
        let evidence = fields.value("evidence", evidence);
        Some(Note { reason: reason?, evidence: evidence? })
    }
}

impl Note {
    /// The record of the caller.
    fn record(&self, work: &Work<'_>) -> Record {
        let Self { reason, evidence } = self.clone();
        Record { by: work.acting_user, reason, evidence }
    }
}

/// A payment of an order, as the caller writes it.
#[derive(Debug, Clone)]
pub struct RecordPaymentInput {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub record: RecordInput,
}

impl Input for RecordPaymentInput {
    type UseCase = RecordPayment;

    fn read(self, _: &Environment) -> Result<RecordPayment, CommandError> {
        let mut fields = Fields::default();
        match self.record.read(&mut fields) {
            Some(note) => Ok(RecordPayment { order_id: self.order_id, note }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Records that an order was paid in whole.
pub struct RecordPayment {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub note: Note,
}

impl UseCase for RecordPayment {
    const NAME: &'static str = "record_payment";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::RecordPayment(self.note.record(work))])?;
        Ok(work.changes(&order, &events)?.into())
    }
}

/// A shipment of an order, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ShipOrderInput {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub record: RecordInput,
}

impl Input for ShipOrderInput {
    type UseCase = ShipOrder;

    fn read(self, _: &Environment) -> Result<ShipOrder, CommandError> {
        let mut fields = Fields::default();
        match self.record.read(&mut fields) {
            Some(note) => Ok(ShipOrder { order_id: self.order_id, note }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Records that an order was shipped, and takes its units out of the stock.
pub struct ShipOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub note: Note,
}

impl UseCase for ShipOrder {
    const NAME: &'static str = "ship_order";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::Ship(self.note.record(work))])?;
        Ok(stock::ship(work, &order, work.changes(&order, &events)?).await?.into())
    }
}

/// A delivery of an order, as the caller writes it.
#[derive(Debug, Clone)]
pub struct DeliverOrderInput {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub record: RecordInput,
}

impl Input for DeliverOrderInput {
    type UseCase = DeliverOrder;

    fn read(self, _: &Environment) -> Result<DeliverOrder, CommandError> {
        let mut fields = Fields::default();
        match self.record.read(&mut fields) {
            Some(note) => Ok(DeliverOrder { order_id: self.order_id, note }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Records that an order has arrived.
pub struct DeliverOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is recorded.
    pub note: Note,
}

impl UseCase for DeliverOrder {
    const NAME: &'static str = "deliver_order";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::Deliver(self.note.record(work))])?;
        Ok(work.changes(&order, &events)?.into())
    }
}

/// A refund of an order, as the caller writes it.
#[derive(Debug, Clone)]
pub struct RefundOrderInput {
    /// The order's id.
    pub order_id: Uuid,
    /// The amount that was given back, as a decimal number.
    pub amount: String,
    /// The currency of the amount: that of the order.
    pub currency: String,
    /// Why it is recorded.
    pub record: RecordInput,
}

impl Input for RefundOrderInput {
    type UseCase = RefundOrder;

    fn read(self, _: &Environment) -> Result<RefundOrder, CommandError> {
        let mut fields = Fields::default();
        let currency = fields.value("currency", self.currency.parse::<Currency>());
        let amount = currency
            .and_then(|currency| fields.value("amount", Money::parse(&self.amount, currency)));
        let note = self.record.read(&mut fields);
        let (Some(amount), Some(note)) = (amount, note) else {
            return Err(fields.invalid().into());
        };
        Ok(RefundOrder { order_id: self.order_id, amount, note })
    }
}

/// Records that a part of what was paid for an order, or all of it, was given back.
pub struct RefundOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// The amount that was given back.
    pub amount: Money,
    /// Why it is recorded.
    pub note: Note,
}

impl UseCase for RefundOrder {
    const NAME: &'static str = "refund_order";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let record = self.note.record(work);
        let events = order.decide([OrderCommand::Refund { amount: self.amount, record }])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
