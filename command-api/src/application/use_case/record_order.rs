//! Records what happened to an order outside: that it was paid, shipped, delivered or refunded.
//!
//! Staff record it with a reason, or the system on another system's evidence. The user who ordered
//! records nothing about the order.

use std::marker::PhantomData;

use access::Permission;
use domain::order::{OrderCommand, OrderEvent, Record};
use domain::value::{Currency, Evidence, Money, Reason};
use uuid::Uuid;

use super::{Decision, UseCase, Work, open_orders, stock};
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

/// Something that is recorded of an order with a note alone.
pub trait Happening: Send + Sync + 'static {
    /// The name of the use case. See [`UseCase::NAME`].
    const NAME: &'static str;
    /// Whether the units of the order leave the stock with it.
    const TAKES_STOCK: bool = false;
    /// Whether the order is closed with it.
    const CLOSES: bool = false;

    /// The command that records it.
    fn command(record: Record) -> OrderCommand;
}

/// The order was paid in whole.
pub enum Payment {}

/// The order was shipped.
pub enum Shipment {}

/// The order has arrived.
pub enum Delivery {}

impl Happening for Payment {
    const NAME: &'static str = "record_payment";

    fn command(record: Record) -> OrderCommand {
        OrderCommand::RecordPayment(record)
    }
}

impl Happening for Shipment {
    const NAME: &'static str = "ship_order";
    const TAKES_STOCK: bool = true;

    fn command(record: Record) -> OrderCommand {
        OrderCommand::Ship(record)
    }
}

impl Happening for Delivery {
    const NAME: &'static str = "deliver_order";
    const CLOSES: bool = true;

    fn command(record: Record) -> OrderCommand {
        OrderCommand::Deliver(record)
    }
}

/// Something that happened to an order, as the caller writes it.
pub struct RecordOrderInput<H> {
    /// The order's id.
    order_id: Uuid,
    record: RecordInput,
    happening: PhantomData<fn() -> H>,
}

/// Records something that happened to an order.
pub struct RecordOrder<H> {
    order_id: Uuid,
    note: Note,
    happening: PhantomData<fn() -> H>,
}

impl<H: Happening> RecordOrder<H> {
    /// The record of what happened to this order, with this note.
    pub const fn noted(order_id: Uuid, note: Note) -> Self {
        Self { order_id, note, happening: PhantomData }
    }
}

impl<H: Happening> RecordOrderInput<H> {
    /// The input for the order with this id.
    pub const fn new(order_id: Uuid, record: RecordInput) -> Self {
        Self { order_id, record, happening: PhantomData }
    }
}

impl<H: Happening> Input for RecordOrderInput<H> {
    type UseCase = RecordOrder<H>;

    fn read(self, _: &Environment) -> Result<RecordOrder<H>, CommandError> {
        let Self { order_id, record, happening } = self;
        let mut fields = Fields::default();
        match record.read(&mut fields) {
            Some(note) => Ok(RecordOrder { order_id, note, happening }),
            None => Err(fields.invalid().into()),
        }
    }
}

impl<H: Happening> UseCase for RecordOrder<H> {
    const NAME: &'static str = H::NAME;
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([H::command(self.note.record(work))])?;
        let mut changes = work.changes(&order, &events)?;
        if H::CLOSES {
            changes = open_orders::close(work, (order.id, &order.state), changes).await?;
        }
        let changes =
            if H::TAKES_STOCK { stock::ship(work, &order, changes).await? } else { changes };
        Ok(changes.into())
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
        let changes = work.changes(&order, &events)?;
        let ends = |event: &OrderEvent| match event {
            OrderEvent::Refunded(refunded) => refunded.ends_order,
            _ => false,
        };
        Ok(if events.iter().any(ends) {
            open_orders::close(work, (order.id, &order.state), changes).await?
        } else {
            changes
        }
        .into())
    }
}
